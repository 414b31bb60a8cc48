"""Section `analyze_localization`: where detections succeed and fail, and what features show of actions."""

from typing import Annotated, Literal

from pydantic import Field

from pipeline.config.base import Section
from pipeline.config.evaluate import tious_field

Borders = Annotated[list[float], Field(min_length=1, max_length=4)]
"""Upper borders of the groups but the last, ascending."""


class AnalyzeLocalization(Section):
    """Groups of instances and false positives as DETAD (Alwassel et al., 2018), and similarity of features.

    The borders are those for ActivityNet.
    """

    TARGET = "results/{dataset}/localization_analysis/test.json"

    detections: list[str] = Field(["gtad"], min_length=1, description="entries of `localize_actions` to analyze")
    features: list[str] = Field(["sa_tsp"], description="entries of `extract_features` to compare")
    test_splits: list[Literal["enlarged", "val", "test"]] = Field(
        ["test"], min_length=1, description="splits of the corpus that results of the split `test` cover"
    )
    tious: list[Annotated[float, Field(gt=0, le=1)]] = tious_field()
    lengths: Borders = Field([30.0, 60.0, 120.0, 180.0], description="groups by length: upper borders [s]")
    coverages: Borders = Field([0.2, 0.4, 0.6, 0.8], description="groups by share of the video: upper borders")
    num_instances: Borders = Field(
        [1.0, 4.0, 8.0], description="groups by number of instances of the video: upper borders"
    )
    drawn_videos: int = Field(3, ge=0, description="how many videos have a picture of their similarity matrix")
    bootstrap: int = Field(
        1000, ge=0, description="draws of videos for the 95 % interval of the region contrast; 0: no interval"
    )
