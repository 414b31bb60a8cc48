"""Settings of the bi-modal transformer's layers, which a captioner and a proposer share."""

from typing import Self

from pydantic import Field, model_validator

from pipeline.config.base import Section

VISUAL_AND_AUDIO = frozenset({"visual", "audio"})
"""Names of the two streams of features."""


class BiModalSettings(Section):
    """Sizes of the layers; the defaults are the published ones (Iashin and Rahtu, 2020)."""

    hidden: int = Field(1024, ge=1, description="width of all attention; a multiple of `heads`")
    heads: int = Field(4, ge=1, description="attention heads")
    layers: int = Field(2, ge=1, description="layers of encoder and decoder")
    dropout: float = Field(
        0.1, ge=0, lt=1, description="dropout on inputs, on attended values, in and after feed-forward layers"
    )

    @model_validator(mode="after")
    def _check_heads(self) -> Self:
        if self.hidden % self.heads:
            raise ValueError(f"hidden {self.hidden} is no multiple of heads {self.heads}")
        return self
