"""How well proposals agree with annotated events."""

from collections.abc import Mapping, Sequence

import numpy as np

from pipeline.localization.nms import tiou
from pipeline.localization.proposals import Proposal

THRESHOLDS = (0.5, 0.7)
"""tIoU above which a proposal and an event agree."""


def agreement(
    proposals: Mapping[str, Sequence[Proposal]], events: Mapping[str, Sequence[Sequence[tuple[float, float]]]]
) -> dict[str, float]:
    """Precision and recall as the official evaluator takes them.

    Args:
        proposals: by video, at least one each.
        events: start and end in seconds, by video and annotator; at least one event each.

    Returns:
        For each threshold `precision@t`, the share of a video's proposals that overlap an event by more than
        t, and `recall@t`, the share of its events so overlapped: of the annotators the greater, mean over the
        videos of `events`; and `proposals`, how many a video has.
    """
    precision = np.zeros((len(events), len(THRESHOLDS)))
    recall = np.zeros_like(precision)
    for row, (video, annotators) in enumerate(sorted(events.items())):
        ours = np.array([[one.start, one.end] for one in proposals[video]])
        for annotator in annotators:
            overlap = tiou(ours, np.array(annotator, np.float64))
            for column, threshold in enumerate(THRESHOLDS):
                agree = overlap > threshold
                precision[row, column] = max(precision[row, column], agree.any(1).mean())
                recall[row, column] = max(recall[row, column], agree.any(0).mean())
    found = {"proposals": float(np.mean([len(proposals[video]) for video in events]))}
    for column, threshold in enumerate(THRESHOLDS):
        found[f"precision@{threshold:g}"] = float(precision[:, column].mean())
        found[f"recall@{threshold:g}"] = float(recall[:, column].mean())
    return found
