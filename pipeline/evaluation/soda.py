"""SODA_c: how well captions tell a video's story.

Fujita et al., "SODA: Story Oriented Dense Video Captioning Evaluation Framework", ECCV 2020, section 3. A video's
captions and references are matched one to one without crossing in time, so that the sum of tIoU x METEOR is as large
as it can be. That sum over the number of captions is precision, over the number of references recall; their harmonic
mean is averaged over videos, then over annotators. As in the numbers that are published, METEOR is given the caption
in the place of the reference, and the reverse; a video without captions is left out, not scored 0.
"""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from jaxtyping import Float

from pipeline.evaluation.events import ByVideo, Events, Side, overlaps
from pipeline.evaluation.meteor import Scorer
from pipeline.evaluation.tokenizer import tokenize_documents


def soda_c(
    predictions: ByVideo, references: Sequence[ByVideo], videos: Sequence[str], meteor: Scorer, timeout_s: float
) -> Float[np.ndarray, "annotators videos 3"]:
    """SODA_c of each video against each annotator.

    Args:
        predictions: captions of each video.
        references: by each annotator.
        videos: which to score.
        meteor: scores pairs.
        timeout_s: for the tokenizer, seconds.

    Returns:
        F1, precision and recall; NaN for a video without captions, or which the annotator has not seen.
    """
    found = np.full((len(references), len(videos), 3), np.nan)
    for annotator, reference in enumerate(references):
        both = [
            row
            for row, video in enumerate(videos)
            if video in reference and video in predictions and predictions[video].sentences
        ]
        said = [_in_time(predictions[videos[row]]) for row in both]
        known = [_in_time(reference[videos[row]]) for row in both]
        found[annotator, both] = _scores(said, known, meteor, timeout_s)
    return found


def _in_time(events: Events) -> Events:
    order = np.argsort(events.times[:, 0], kind="stable")
    return Events(events.times[order], tuple(events.sentences[index] for index in order))


def _scores(
    said: Sequence[Events], known: Sequence[Events], meteor: Scorer, timeout_s: float
) -> Float[np.ndarray, "videos 3"]:
    tokens = tokenize_documents([events.sentences for side in (said, known) for events in side], timeout_s)
    captions = [caption for video in tokens[: len(said)] for caption in video]
    sentences = [sentence for video in tokens[len(said) :] for sentence in video]
    one, other = Side.of([[events] for events in said]), Side.of([[events] for events in known])
    caption, reference, tiou = overlaps(one, other, least=1e-9)
    # The caption stands where METEOR expects the reference.
    value = tiou * meteor.score([(sentences[b], captions[a]) for a, b in zip(caption, reference, strict=True)])
    ends = np.searchsorted(caption, one.bounds)
    result = np.zeros((len(said), 3))
    for video, (begin, end) in enumerate(pairwise(ends)):
        table = np.zeros((one.counts[video], other.counts[video]))
        table[caption[begin:end] - one.bounds[video], reference[begin:end] - other.bounds[video]] = value[begin:end]
        total = best_in_order(table)
        precision, recall = total / table.shape[0], total / table.shape[1]
        result[video] = 2 * precision * recall / (precision + recall) if total else 0.0, precision, recall
    return result


def best_in_order(gain: Float[np.ndarray, "n m"]) -> float:
    """The largest sum of cells of which each is both below and right of the one before (paper, equation 5)."""
    best = np.zeros(gain.shape[1] + 1)
    for row in gain:
        # A cell adds to the best of what is above and left of it; then the best of a row never falls to the right.
        best[1:] = np.maximum.accumulate(np.maximum(best[1:], best[:-1] + row))
    return float(best[-1])
