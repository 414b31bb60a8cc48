"""The model card of a pretrained encoder."""

import json
from typing import Any

from pipeline.config.pretrain_encoder import PretrainEncoder
from pipeline.encoders.data import Data, Segments


def card(name: str, config: PretrainEncoder, data: Data, facts: dict[str, Any], digest: str) -> str:
    """What the encoder is, what it was trained on and how good it is; equal runs give equal cards.

    Args:
        name: of the encoder.
        config: what it was trained with.
        data: what it was trained on.
        facts: of its manifest.
        digest: sha256 of its weights.

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


def _count(segments: Segments) -> str:
    videos = len({segment.video for segment in segments.all})
    foreground, background = len(segments.foreground), len(segments.background)
    return f"{videos} videos: {foreground} foreground segments, {background} background segments"
