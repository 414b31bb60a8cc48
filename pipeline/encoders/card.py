"""The model card of a pretrained encoder."""

import datetime
import json
from collections import Counter
from dataclasses import dataclass
from typing import Any

from pipeline.config.pretrain_encoder import Clip, PretrainEncoder
from pipeline.encoders.data import Data, Segments


@dataclass(frozen=True)
class Made:
    """How an encoder was made.

    Attributes:
        seconds: that training took, in all the jobs that it took.
        machine: what trained, in words.
        unused: videos that nothing was learned from, with reasons; rows of `REJECTS`.
    """

    seconds: float
    machine: str
    unused: list[dict[str, Any]]


def card(name: str, config: PretrainEncoder, data: Data, facts: dict[str, Any], digest: str, made: Made) -> str:
    """What the encoder is, what it was trained on, how good it is and what it cost.

    Equal runs take different times: the card is no payload of the encoder's manifest.

    Args:
        name: of the encoder.
        config: what it was trained with.
        data: what it was trained on.
        facts: of its manifest.
        digest: sha256 of its weights.
        made: how it was made.

    Returns:
        Markdown.
    """
    lines = [
        f"# {name}",
        "",
        f"A clip encoder, {config.architecture}, {facts['dim']} channels. {_clip(config.clip)}",
        "",
        "## Data",
        "",
        f"- trained on {_count(data.train)}",
        f"- chosen on {_count(data.val)}",
        f"- videos not used: {_unused(made.unused)}",
        f"- {len(data.labels)} action classes, {len(data.concepts)} concepts",
        f"- initial weights: {config.initial_weights or 'random'}",
        *([f"- rehearsal: epochs ended after {config.steps_per_epoch} steps"] if config.steps_per_epoch else []),
        f"- beside the clip, the region head sees {_global(config)}",
        "",
        "## Metrics of the chosen epoch",
        "",
        *(f"- {key}: {value:.4g}" for key, value in facts["best"].items()),
        "",
        "## Cost",
        "",
        f"- training took {_duration(made.seconds)}, finished {_now()}",
        f"- on {made.machine}",
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


def _clip(clip: Clip) -> str:
    size = f"{clip.height} x {clip.width} (height x width)"
    resized = size if clip.resize == "stretch" else f"a short side of {clip.height}"
    return (
        f"One clip is {clip.frames} frames at {clip.fps:g} per second,\n"
        f"resized to {resized} and cropped to {clip.crop} x {clip.crop} pixels."
    )


def _unused(unused: list[dict[str, Any]]) -> str:
    counts = Counter(row["reason"] for row in unused)
    told = ", ".join(f"{count} {reason}" for reason, count in sorted(counts.items()))
    return f"{len(unused)} ({told}), listed in `dropped.parquet`" if unused else "none"


def _global(config: PretrainEncoder) -> str:
    if config.alpha == 0:
        return "nothing: there is no region head"
    if config.global_feature is None:
        return "nothing"
    return f"the {config.global_feature.pool} over the video of the feature {config.global_feature.feature}"


def _duration(seconds: float) -> str:
    minutes = seconds / 60
    return f"{seconds:.0f} s" if minutes < 2 else f"{minutes:.0f} min" if minutes < 120 else f"{minutes / 60:.1f} h"


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def _count(segments: Segments) -> str:
    videos = len({segment.video for segment in segments.all})
    foreground, background = len(segments.foreground), len(segments.background)
    return f"{videos} videos: {foreground} foreground segments, {background} background segments"
