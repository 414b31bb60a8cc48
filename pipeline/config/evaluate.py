"""Section `evaluate`: the official ActivityNet Captions evaluator."""

from typing import Annotated, Literal

from pydantic import Field

from pipeline.config.base import Section


class Evaluate(Section):
    """How captions are scored."""

    variant: Literal["2018", "2021"] = Field(
        "2021", description="unmatched captions meet three garbage words (2018) or one (2021)"
    )
    tious: list[Annotated[float, Field(ge=0, le=1)]] = Field(
        [0.3, 0.5, 0.7, 0.9], min_length=1, description="temporal IoU thresholds"
    )
    max_proposals: int = Field(1000, ge=1, description="captions of a video beyond this many are not looked at")
    timeout_s: float = Field(600.0, gt=0, description="Java that stays silent for longer is stopped, seconds")
