"""Detections of actions: localizers applied to videos, classes, and the ActivityNet file that stores them."""

import json
import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from pipeline.errors import PipelineError
from pipeline.features.cache import batches
from pipeline.io.atomic import write_text
from pipeline.io.progress import Progress
from pipeline.localization.action_segments import MAX_NAMED
from pipeline.localization.class_fusion import ClassScores, fuse_class_scores
from pipeline.localization.localizer import Detections, Localizer, LocalizerInputs, fuse_scores
from pipeline.localization.proposals import VERSION


@dataclass(frozen=True)
class WeightedLocalizer:
    """A localizer whose raw scores enter the detections.

    Attributes:
        localizer: in evaluation mode.
        inputs: what it reads.
        weight: of its raw scores.
    """

    localizer: Localizer
    inputs: LocalizerInputs
    weight: float


@torch.no_grad()
def detect_actions(
    localizers: Sequence[WeightedLocalizer], videos: Sequence[str], batch_size: int
) -> dict[str, Detections]:
    """Detect actions in videos.

    Args:
        localizers: of one kind; the first one turns the mean of the raw scores into detections.
        videos: ids.
        batch_size: videos per batch.

    Raises:
        PipelineError: the raw scores of the localizers cannot be averaged, or features are not finite.
    """
    first, weights = localizers[0], [weighted.weight for weighted in localizers]
    detections: dict[str, Detections] = {}
    progress = Progress("videos", len(videos))
    for batch in batches(videos, batch_size):
        scores = [weighted.localizer.score(weighted.inputs, batch) for weighted in localizers]
        for video, of_video in zip(batch, zip(*scores, strict=True), strict=True):
            fused = fuse_scores(of_video, weights, video) if len(of_video) > 1 else of_video[0]
            detections[video] = first.localizer.detect(first.inputs, video, fused)
        progress.step(len(batch))
    return detections


def classify_detections(
    detections: Mapping[str, Detections], class_scores: ClassScores, top_classes: int
) -> dict[str, Detections]:
    """Give the detections of each video the best classes of the video.

    Args:
        detections: without classes.
        class_scores: of whole videos.
        top_classes: number of classes.

    Raises:
        PipelineError: a video has no class scores.
    """
    classified = {}
    for video, of_video in detections.items():
        scores = class_scores.of_video(video)
        fused = fuse_class_scores(of_video.segments, of_video.scores, scores, top_classes)
        classified[video] = Detections(fused.segments, fused.scores, fused.classes)
    return classified


def restrict_to_classified(videos: Collection[str], class_scores: ClassScores) -> set[str]:
    """Return the videos that have class scores; warn of the others, which get no detections."""
    missing = sorted(set(videos) - class_scores.by_video.keys())
    if missing:
        logging.warning(
            "%s: no class scores of %d videos with features, which get no detections: %s",
            *(class_scores.path, len(missing), ", ".join(missing[:MAX_NAMED])),
        )
    return set(videos) - set(missing)


def check_classes(class_scores: ClassScores, labels: Sequence[str], labels_path: Path) -> None:
    """Check that class scores are of the classes of the corpus, in their order.

    Args:
        class_scores: of whole videos.
        labels: action classes of the corpus by index.
        labels_path: where the classes come from, for the error.

    Raises:
        PipelineError: number or names of the classes differ; names the first ones that differ.
    """
    if class_scores.classes == tuple(labels):
        return
    pairs = enumerate(zip(class_scores.classes, labels, strict=False))
    different = next((f"class {i} is {name!r}, not {label!r}" for i, (name, label) in pairs if name != label), None)
    raise PipelineError(
        f"{class_scores.path}: {len(class_scores.classes)} classes, but {labels_path} has {len(labels)}"
        f"{f'; {different}' if different else ''}; classify the videos again, or take scores of the same classes"
    )


def write_detections(
    path: Path, detections: Mapping[str, Detections], labels: Sequence[str], external: dict[str, Any]
) -> None:
    """Write detections by video, best first, a line for each video: ActivityNet has a million detections.

    Args:
        path: the file.
        detections: with classes, by video.
        labels: names of the classes by index.
        external: statement on external data, see `external_data_statement`.
    """
    lines = []
    for video, of_video in sorted(detections.items()):
        assert of_video.labels is not None
        order = (-of_video.scores).argsort(kind="stable")
        rows = zip(
            of_video.segments[order].tolist(),
            of_video.scores[order].tolist(),
            of_video.labels[order].tolist(),
            strict=True,
        )
        results = [{"segment": segment, "score": score, "label": labels[label]} for segment, score, label in rows]
        lines.append(f"  {_compact(video)}: {_compact(results)}")
    head, videos = f' "version": {_compact(VERSION)},\n "external_data": {_compact(external)}', ",\n".join(lines)
    write_text(path, f'{{\n{head},\n "results": {{\n{videos}\n }}\n}}\n')


def _compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)
