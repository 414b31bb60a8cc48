"""Section `evaluate_localization`: how detections of actions are scored."""

from typing import Annotated, Literal

from pydantic import Field

from pipeline.config.base import Section
from pipeline.config.evaluate import tious_field


class EvaluateLocalization(Section):
    """Which detections are scored, on which videos, and at which thresholds."""

    TARGET = "results/{dataset}_test_detections.json"

    detections: str = Field("gtad", description="entry of `localize_actions` whose mAP is computed")
    proposals: str = Field("gtad", description="entry of `localize_actions` whose average recall is computed")
    test_splits: list[Literal["enlarged", "val", "test"]] = Field(
        ["test"], min_length=1, description="splits of the corpus that results of the split `test` cover"
    )
    tious: list[Annotated[float, Field(gt=0, le=1)]] = tious_field()
    max_avg_nr_proposals: float = Field(
        100.0, gt=0, description="average number of proposals per video that count in the recall"
    )
    per_class: bool = Field(False, description="report the AP of each class")
