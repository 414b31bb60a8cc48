"""Section `generate_captions`: one section for all captioners."""

from typing import Literal

from pydantic import Field

from pipeline.config.base import MACHINE, Section


class GenerateCaptions(Section):
    """Greedy decoding of proposals into captions."""

    batch_videos: int = Field(16, ge=1, description="videos decoded together")
    device: Literal["auto", "cpu", "cuda"] = Field(
        "auto", description="auto takes a GPU if there is one", json_schema_extra=MACHINE
    )
    control_seed: int = Field(
        0, description="of the permutation that gives each video another's features, for the control score"
    )
