"""Section `generate_captions`: one section for all captioners."""

from typing import Literal, Self

from pydantic import Field, model_validator

from pipeline.config.base import Device, Section, device_field

SHORTEST_BLOCKED = 3
"""Shorter rows of words ("a man", "on the") are repeated in good captions too."""


class GenerateCaptions(Section):
    """Decoding of proposals into captions. None ends as "with a" does, however its words are chosen."""

    decoding: Literal["greedy", "beam", "sample"] = Field(
        "greedy", description="the likeliest word at each place, the best caption of a beam search, or words drawn"
    )
    beam: int = Field(5, ge=1, description="beginnings that beam search keeps for each event")
    length_power: float = Field(
        1.0, ge=0, description="of beam search: log-probabilities are divided by (number of words) ** this; 0 is none"
    )
    temperature: float = Field(1.0, gt=0, description="of samples: below 1, likely words become likelier")
    seed: int = Field(0, description="of samples")
    block_ngrams: int = Field(
        0, ge=0, description="no caption says so many words in a row twice (3 or more); 0 allows it"
    )
    batch_videos: int = Field(16, ge=1, description="videos decoded together")
    device: Device = device_field()
    control_seed: int = Field(
        0, description="of the permutation that gives each video another's features, for the control score"
    )

    @model_validator(mode="after")
    def _common_words_may_repeat(self) -> Self:
        if 0 < self.block_ngrams < SHORTEST_BLOCKED:
            raise ValueError(f"block_ngrams must be 0, or {SHORTEST_BLOCKED} at least: shorter ones repeat in any text")
        return self
