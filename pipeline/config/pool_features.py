"""Section `pool_features`: global features of videos."""

from typing import Literal

from pydantic import Field

from pipeline.config.base import Section

Pool = Literal["max", "mean"]


class PoolFeatures(Section):
    """One vector for each video: what its clip features are over all of its clips (TSP, section 3.2)."""

    pools: list[Pool] = Field(["max", "mean"], min_length=1, description="which vectors are kept")
