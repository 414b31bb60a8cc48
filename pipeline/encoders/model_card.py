"""The model card of a pretrained encoder."""

import datetime
import json
from collections import Counter
from dataclasses import dataclass
from typing import Any

from pipeline.config.clip_geometry import ClipGeometry
from pipeline.config.pretrain_encoder import EncoderEntry
from pipeline.datasets.corpus import RejectedVideo
from pipeline.encoders.pretraining_data import PretrainingData, SplitSegments


@dataclass(frozen=True)
class TrainingSummary:
    """Cost and rejects of a training.

    Attributes:
        seconds: training time, summed over the jobs of an interrupted run.
        machine: description of the devices.
        unused: videos without any clip in the training, with the reason.
    """

    seconds: float
    machine: str
    unused: list[RejectedVideo]


def build_card(
    name: str,
    config: EncoderEntry,
    data: PretrainingData,
    metadata: dict[str, Any],
    digest: str,
    summary: TrainingSummary,
) -> str:
    """Build the model card as Markdown: architecture, data, metrics, cost and settings.

    Equal runs take different times, so the manifest of the encoder does not list the card.

    Args:
        name: name of the encoder.
        config: settings of the training.
        data: data of the training.
        metadata: metadata of the encoder's manifest.
        digest: sha256 of the weights.
        summary: cost and rejects of the training.

    Returns:
        the text of the card.
    """
    lines = [
        f"# {name}",
        "",
        f"A clip encoder, {config.architecture}, {metadata['dim']} channels. {_describe_clip(config.clip)}",
        "",
        "## Data",
        "",
        f"- training: {_count(data.train)}",
        f"- selection of the epoch: {_count(data.val)}",
        f"- unused videos: {_describe_unused(summary.unused)}",
        f"- {len(data.labels)} action classes, {len(data.concepts)} concepts",
        f"- initial weights: {config.initial_weights or 'random'}",
        *([f"- rehearsal: epochs ended after {config.steps_per_epoch} steps"] if config.steps_per_epoch else []),
        f"- global feature for the region head: {_describe_global_feature(config)}",
        "",
        "## Metrics of the selected epoch",
        "",
        *(f"- {key}: {value:.4g}" for key, value in metadata["best"].items()),
        "",
        "## Cost",
        "",
        f"- training time: {_format_duration(summary.seconds)}, finished {_now()}",
        f"- devices: {summary.machine}",
        "",
        "## Settings",
        "",
        f"Digest {config.digest()}.",
        "",
        "```json",
        json.dumps(config.model_dump(mode="json"), indent=1),
        "```",
        "",
        "## Weights",
        "",
        f"`model.safetensors`, sha256 {digest}: the encoder under `encoder.`, the heads under `heads.`.",
        "",
    ]
    return "\n".join(lines)


def _describe_clip(clip: ClipGeometry) -> str:
    size = f"{clip.height} x {clip.width} (height x width)"
    resized = size if clip.resize == "stretch" else f"a short side of {clip.height}"
    return (
        f"One clip is {clip.frames} frames at {clip.fps:g} per second,\n"
        f"resized to {resized} and cropped to {clip.crop} x {clip.crop} pixels."
    )


def _describe_unused(unused: list[RejectedVideo]) -> str:
    counts = Counter(row.reason for row in unused)
    reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(counts.items()))
    return f"{len(unused)} ({reasons}), listed in `dropped.parquet`" if unused else "none"


def _describe_global_feature(config: EncoderEntry) -> str:
    if not config.learns_regions:
        return "none; there is no region head"
    if config.global_feature is None:
        return "none"
    return f"the {config.global_feature.pool} over the video of the feature {config.global_feature.feature}"


def _format_duration(seconds: float) -> str:
    minutes = seconds / 60
    return f"{seconds:.0f} s" if minutes < 2 else f"{minutes:.0f} min" if minutes < 120 else f"{minutes / 60:.1f} h"


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def _count(segments: SplitSegments) -> str:
    videos = len({segment.video for segment in segments.all})
    foreground, background = len(segments.foreground), len(segments.background)
    return f"{videos} videos: {foreground} foreground segments, {background} background segments"
