"""Section `extract_features`: one entry per feature."""

from typing import Literal

from pydantic import Field

from pipeline.config.base import Section


class ExtractFeatures(Section):
    """Clip features of every video, by a pretrained encoder."""

    encoder: str = Field(description="the entry of `pretrain_encoder` that makes them")
    stride: int = Field(16, ge=1, description="frames, at the clip's frame rate, from one clip to the next")
    batch_size: int = Field(32, ge=1, description="clips per forward pass")
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="auto takes a GPU if there is one")
