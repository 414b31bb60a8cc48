"""Section `pool_features`: one vector per video from the features of its clips."""

from typing import Literal

from pydantic import Field

from pipeline.config.base import Section

Pool = Literal["max", "mean"]


class PoolFeatures(Section):
    """Pooling of the clip features of each video into one vector (Alwassel et al., TSP, 2021, section 3.2)."""

    pools: list[Pool] = Field(["max", "mean"], min_length=1, description="kinds of pooling to store")
