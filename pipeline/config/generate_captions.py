"""Section `generate_captions`: one section for all captioners."""

from typing import Literal, Self

from pydantic import Field, model_validator

from pipeline.config.base import Device, Section, device_field

MIN_BLOCKED = 3
"""Shorter n-grams ("a man", "on the") are repeated in good captions too."""


class GenerateCaptions(Section):
    """Decoding of captions. No decoding lets a caption end badly, as in "with a"."""

    decoding: Literal["greedy", "beam", "sample"] = Field(
        "greedy", description="greedy (most probable token at each step), beam (beam search), or sample (random tokens)"
    )
    beam: int = Field(5, ge=1, description="beam width, per event")
    length_power: float = Field(
        1.0, ge=0, description="length penalty of beam search: score = log p / (number of words)**x (0 = off)"
    )
    temperature: float = Field(1.0, gt=0, description="softmax temperature of `sample`; below 1, samples are sharper")
    seed: int = Field(0, description="seed of `sample`")
    block_ngrams: int = Field(0, ge=0, description="no caption repeats an n-gram of this length (3 or more); 0 = off")
    batch_videos: int = Field(16, ge=1, description="videos per batch")
    device: Device = device_field()
    control_seed: int = Field(
        0, description="seed of the permutation that gives each video the features of another, for the control score"
    )

    @model_validator(mode="after")
    def _block_is_long_enough(self) -> Self:
        if 0 < self.block_ngrams < MIN_BLOCKED:
            raise ValueError(f"block_ngrams must be 0, or at least {MIN_BLOCKED}: shorter n-grams repeat in any text")
        return self
