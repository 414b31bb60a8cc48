"""Which captions meet which references: the pairs of the official evaluation of dense captions, and its localization.

Krishna et al., ICCV 2017, section 5, as densevid_eval does it: every caption meets every reference, of every
annotator, that it overlaps enough; one that meets none is paired with garbage.
"""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from jaxtyping import Float

from pipeline.evaluation.events import Events, Side, overlaps
from pipeline.evaluation.ragged import bounds

Document = Sequence[tuple[str, str]]
"""The (caption, reference) pairs of one video at one threshold."""


class Meetings:
    """The overlaps of captions and references, for all thresholds.

    Args:
        captions: of each video.
        references: of each video, by every annotator who saw it; none is empty.
        least: the lowest threshold of interest, tIoU.
    """

    def __init__(self, captions: Sequence[Events], references: Sequence[Sequence[Events]], least: float) -> None:
        self.captions = Side.of([[events] for events in captions])
        self.references = Side.of(references)
        self._caption, self._reference, self._tiou = overlaps(self.captions, self.references, least)
        self._annotators = np.array([len(video) for video in references], np.int64)
        events = np.array([len(annotator.sentences) for video in references for annotator in video], np.int64)
        self._events = events
        self._annotator = np.repeat(np.arange(len(events)), events)  # of each reference, counted through all videos

    def documents(self, threshold: float, garbage: str) -> list[Document]:
        """For each video, every (caption, reference) with tIoU >= threshold; (caption, garbage) where there is none.

        Args:
            threshold: tIoU.
            garbage: a sentence like no other.
        """
        hit = self._tiou >= threshold
        total = len(self.captions.sentences)
        alone = np.flatnonzero(np.bincount(self._caption[hit], minlength=total) == 0)
        caption = np.concatenate([self._caption[hit], alone])
        reference = np.concatenate([self._reference[hit], np.full(len(alone), -1)])
        order = np.argsort(caption, kind="stable")
        said, known = self.captions.sentences, (*self.references.sentences, garbage)
        pairs = [(said[one], known[other]) for one, other in zip(caption[order], reference[order], strict=True)]
        ends = np.searchsorted(caption[order], self.captions.bounds)
        return [pairs[begin:end] for begin, end in pairwise(ends)]

    def localization(self, threshold: float) -> tuple[Float[np.ndarray, " videos"], Float[np.ndarray, " videos"]]:
        """For each video, the share of captions that overlap a reference, and of references that are overlapped.

        Overlap means tIoU > threshold (strictly, unlike in `documents`). Each is the best over the annotators, taken
        apart. No captions give 0 and 0.
        """
        hit = self._tiou > threshold
        captions, events = len(self.captions.sentences), self._events
        met = np.unique(self._annotator[self._reference[hit]] * captions + self._caption[hit]) // max(1, captions)
        said = np.repeat(self.captions.counts, self._annotators)
        precision = np.bincount(met, minlength=len(events)) / np.maximum(1, said)
        recall = np.bincount(self._annotator[np.unique(self._reference[hit])], minlength=len(events)) / events
        first = bounds(self._annotators)[:-1]
        return np.maximum.reduceat(precision, first), np.maximum.reduceat(recall, first)
