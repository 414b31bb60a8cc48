"""Annotated actions of a corpus as a localizer is trained on them.

Nothing is dropped silently. These are logged, with the first ids:

    videos with actions but without features   not trained on
    actions that begin after the end of a video's features   left out; an action that ends later ends there
    videos without actions                     not trained on; they get detections all the same
"""

import logging
from collections.abc import Collection, Mapping, Sequence

from pipeline.datasets.corpus import Corpus
from pipeline.localization.localizer import LabelledSegment

MAX_NAMED = 3
"""Number of video ids that a message names."""


def action_segments(
    corpus: Corpus, splits: Collection[str], durations: Mapping[str, float]
) -> dict[str, list[LabelledSegment]]:
    """Return the actions of the videos of some splits that have features, by video, in order of their start.

    Args:
        corpus: the annotations.
        splits: names of splits.
        durations: seconds, of the videos that have features.

    Returns:
        At least one action for each video; a label is an index into `corpus.labels`.
    """
    label_ids = {label: index for index, label in enumerate(corpus.labels)}
    videos = {row.video for row in corpus.videos if row.split in splits}
    actions: dict[str, list[LabelledSegment]] = {video: [] for video in videos & durations.keys()}
    without_features, outside = set(), []
    for segment in corpus.segments:
        if segment.label is None or segment.video not in videos:
            continue
        if segment.video not in durations:
            without_features.add(segment.video)
        elif segment.start >= durations[segment.video]:
            outside.append(segment.video)
        else:
            end = min(segment.end, durations[segment.video])
            actions[segment.video].append(LabelledSegment(segment.start, end, label_ids[segment.label]))
    name = "+".join(sorted(splits))
    _warn("%s: %d videos with actions have no features: %s", name, sorted(without_features))
    _warn("%s: %d actions begin after the end of the features: %s", name, outside)
    _warn("%s: %d videos with features have no actions: %s", name, [video for video, of in actions.items() if not of])
    return {video: sorted(of_video) for video, of_video in sorted(actions.items()) if of_video}


def _warn(text: str, splits: str, videos: Sequence[str]) -> None:
    if videos:
        named = ", ".join(sorted(set(videos))[:MAX_NAMED])
        logging.warning(text, splits, len(videos), named)
