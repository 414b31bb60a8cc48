"""The model card of a pretrained encoder."""

import datetime
import json
from dataclasses import dataclass
from typing import Any

from pipeline.config.pretrain_encoder import PretrainEncoder
from pipeline.encoders.data import Data, Segments


@dataclass(frozen=True)
class Made:
    """How an encoder was made.

    Attributes:
        seconds: that training took, in all the jobs that it took.
        machine: what trained, in words.
    """

    seconds: float
    machine: str


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
    clip = config.clip
    lines = [
        f"# {name}",
        "",
        f"A clip encoder, {config.architecture}, {facts['dim']} channels. One clip is {clip.frames} frames",
        f"at {clip.fps:g} per second, resized to {clip.height} x {clip.width} (height x width) and cropped",
        f"to {clip.crop} x {clip.crop} pixels.",
        "",
        "## Data",
        "",
        f"- trained on {_count(data.train)}",
        f"- chosen on {_count(data.val)}",
        f"- {len(data.labels)} action classes, {len(data.concepts)} concepts",
        f"- initial weights: {config.initial_weights or 'random'}",
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


def _duration(seconds: float) -> str:
    minutes = seconds / 60
    return f"{seconds:.0f} s" if minutes < 2 else f"{minutes:.0f} min" if minutes < 120 else f"{minutes / 60:.1f} h"


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def _count(segments: Segments) -> str:
    videos = len({segment.video for segment in segments.all})
    foreground, background = len(segments.foreground), len(segments.background)
    return f"{videos} videos: {foreground} foreground segments, {background} background segments"
