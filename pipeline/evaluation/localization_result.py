"""Scores of the detections of actions in the videos of a corpus, by the rules of ActivityNet's evaluators.

Videos of the split that have neither a file nor detections are not scored; they are counted. A video that has a file
and no detections counts with all its instances as missed.
"""

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from pipeline.config.evaluate_localization import EvaluateLocalization
from pipeline.datasets.corpus import Corpus
from pipeline.errors import PipelineError
from pipeline.evaluation.detections import score_detections
from pipeline.evaluation.proposals import score_proposals
from pipeline.evaluation.segments import GroundTruth, ScoredSegments, as_thresholds


def corpus_ground_truth(corpus: Corpus, splits: Collection[str], detected: Collection[str]) -> GroundTruth:
    """Return the annotated actions of some splits as ground truth.

    Args:
        corpus: the annotations.
        splits: names of splits.
        detected: videos with detections, without leading `v_`; they are scored even if their file is missing.

    Raises:
        PipelineError: no such video has an action.
    """
    rows = [row for row in corpus.videos if row.split in splits]
    videos = sorted(
        row.video.removeprefix("v_") for row in rows if row.path is not None or row.video.removeprefix("v_") in detected
    )
    number_of = {video: number for number, video in enumerate(videos)}
    instances = sorted(
        (number, segment.start, segment.end, segment.label)
        for segment in corpus.segments
        if segment.label is not None and (number := number_of.get(segment.video.removeprefix("v_"))) is not None
    )
    if not instances:
        raise PipelineError(
            f"{corpus.manifest.path}: no video of {' and '.join(splits)} has a file or detections, and actions; there "
            "is nothing to score"
        )
    labels = sorted({label for *_, label in instances})
    label_ids = {label: index for index, label in enumerate(labels)}
    return GroundTruth(
        videos=tuple(videos),
        labels=tuple(labels),
        video=np.array([number for number, *_ in instances], np.int64),
        times=np.array([(start, end) for _, start, end, _ in instances], np.float64),
        label=np.array([label_ids[label] for *_, label in instances], np.int64),
    )


def restrict_to_splits(segments: ScoredSegments, corpus: Corpus, splits: Collection[str]) -> ScoredSegments:
    """Return the scored segments in the videos of some splits, and in videos that the corpus does not have."""
    others = {row.video.removeprefix("v_") for row in corpus.videos if row.split not in splits}
    is_in_video = np.array([video not in others for video in segments.videos], bool)
    new_number = np.cumsum(is_in_video) - 1
    chosen = is_in_video[segments.video]
    return replace(
        segments,
        videos=tuple(video for video, is_in in zip(segments.videos, is_in_video, strict=True) if is_in),
        video=new_number[segments.video[chosen]],
        times=segments.times[chosen],
        scores=segments.scores[chosen],
        label=segments.label[chosen],
    )


def unite_classes(segments: ScoredSegments) -> ScoredSegments:
    """Return each segment of a video once, whatever its classes are, with its best score, the best first.

    The classes of a video multiply all its scores by the same numbers, so its proposals keep their order.
    """
    order = np.lexsort((-segments.scores, segments.video))
    rows = np.column_stack([segments.video[order], segments.times[order]])
    _, first = np.unique(rows, axis=0, return_index=True)
    chosen = order[np.sort(first)]
    return ScoredSegments(
        videos=segments.videos,
        labels=(),
        video=segments.video[chosen],
        times=segments.times[chosen],
        scores=segments.scores[chosen],
        label=np.zeros(len(chosen), np.int64),
    )


def score_localization(
    config: EvaluateLocalization, corpus: Corpus, splits: Sequence[str], task: str, segments: ScoredSegments
) -> dict[str, Any]:
    """Score the detections of the videos of some splits.

    Args:
        config: the section.
        corpus: the annotations.
        splits: splits that are scored together.
        task: `detections` for mAP, `proposals` for the average recall of the segments without classes.
        segments: detections.

    Returns:
        See `score_detections` and `score_proposals`; `splits`, and n_missing_files: videos that are not scored.

    Raises:
        PipelineError: no video of the splits has actions.
    """
    of_splits = restrict_to_splits(segments, corpus, splits)
    truth = corpus_ground_truth(corpus, splits, of_splits.videos)
    if task == "detections":
        scores = score_detections(truth, of_splits, config.per_class, as_thresholds(config.tious))
    else:
        scores = score_proposals(truth, unite_classes(of_splits), config.max_avg_nr_proposals)
    missing = sum(row.split in splits for row in corpus.videos) - len(truth.videos)
    return {**scores, "splits": list(splits), "n_missing_files": missing}
