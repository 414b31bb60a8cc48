"""SODA_c: how well the captions tell the story of a video.

Fujita et al., "SODA: Story Oriented Dense Video Captioning Evaluation Framework", ECCV 2020, section 3. Captions and
references of a video are aligned one to one, without crossings in time, so that the sum of tIoU x METEOR is as large as
possible. That sum over the number of captions is precision, over the number of references recall. F1 is averaged over
videos, then over annotators. As in the published numbers, METEOR gets the caption in the place of the reference and the
reverse, and a video without captions is left out instead of scoring 0.
"""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from jaxtyping import Float

from pipeline.config.evaluate import Evaluate
from pipeline.evaluation.matching import FlatEvents, find_overlaps
from pipeline.evaluation.meteor import MeteorScorer
from pipeline.evaluation.meteor.metric import MeteorMetric, open_meteor
from pipeline.evaluation.metric import DocumentScores, MetricContext, VideoDocument, VideoMetric


class SodaMetric(VideoMetric):
    """F1, precision and recall of SODA_c."""

    libraries = MeteorMetric.libraries

    def __init__(self, context: MetricContext) -> None:
        super().__init__(context)
        self._meteor = open_meteor(context)

    @classmethod
    def identity(cls, settings: Evaluate) -> dict[str, object]:
        """Describe METEOR, which SODA_c rests on."""
        return MeteorMetric.identity(settings)

    def score(self, documents: Sequence[VideoDocument]) -> DocumentScores:
        """Score documents."""
        f1, precision, recall = soda_c(documents, self._meteor).T
        return {"F1": f1, "Precision": precision, "Recall": recall}


def soda_c(documents: Sequence[VideoDocument], meteor: MeteorScorer) -> Float[np.ndarray, "documents 3"]:
    """Compute F1, precision and recall of each document.

    Args:
        documents: captions and references, tokenized and in order of their start.
        meteor: scores pairs.
    """
    captions = FlatEvents.concatenate([[document.captions] for document in documents])
    references = FlatEvents.concatenate([[document.references] for document in documents])
    scores = np.zeros((len(documents), 3))
    caption, reference, tiou = find_overlaps(captions, references, min_tiou=1e-9)
    # METEOR gets the caption where it expects the reference.
    pairs = [(references.sentences[j], captions.sentences[i]) for i, j in zip(caption, reference, strict=True)]
    gains = tiou * meteor.score(pairs)
    ends = np.searchsorted(caption, captions.offsets)
    shapes = zip(captions.counts, references.counts, strict=True)
    for index, (shape, (start, end)) in enumerate(zip(shapes, pairwise(ends), strict=True)):
        table = np.zeros(shape)
        rows, columns = caption[start:end] - captions.offsets[index], reference[start:end] - references.offsets[index]
        table[rows, columns] = gains[start:end]
        total = best_alignment(table)
        precision, recall = total / table.shape[0], total / table.shape[1]
        scores[index] = 2 * precision * recall / (precision + recall) if total else 0.0, precision, recall
    return scores


def best_alignment(gains: Float[np.ndarray, "n m"]) -> float:
    """Compute the largest sum of cells of which each is below and right of the one before (paper, equation 5)."""
    best = np.zeros(gains.shape[1] + 1)
    for row in gains:
        # A cell adds to the best sum above and left of it; the running maximum carries a row's best to the right.
        best[1:] = np.maximum.accumulate(np.maximum(best[1:], best[:-1] + row))
    return float(best[-1])
