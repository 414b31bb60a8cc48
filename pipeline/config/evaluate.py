"""Section `evaluate`: the official ActivityNet Captions evaluator."""

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from pipeline.config.base import MACHINE, Section

Metric = Literal["METEOR", "CIDEr", "Bleu", "ROUGE_L", "SODA_c"]


class Evaluate(Section):
    """How captions are scored."""

    metrics: list[Metric] = Field(
        ["METEOR", "CIDEr", "Bleu", "ROUGE_L", "SODA_c"],
        min_length=1,
        description="what to score beside precision and recall of the events: METEOR, CIDEr, Bleu, ROUGE_L, SODA_c",
    )
    variant: Literal["2018", "2021"] = Field(
        "2021", description="unmatched captions meet three garbage words (2018) or one (2021)"
    )
    tious: list[Annotated[float, Field(ge=0, le=1)]] = Field(
        [0.3, 0.5, 0.7, 0.9], min_length=1, description="temporal IoU thresholds"
    )
    max_proposals: int = Field(1000, ge=1, description="captions of a video beyond this many are not looked at")
    require_complete: bool = Field(False, description="refuse captions that leave out a video of the references")
    bootstrap: int = Field(
        1000, ge=0, description="draws of videos for the 95 % confidence intervals of the scores; 0 for none"
    )
    meteor: Literal["own", "jar"] = Field(
        "own", description="own computes what METEOR's jar does; jar asks it, which takes longer and gives the same"
    )
    workers: int = Field(
        1, ge=1, description="threads: metrics beside one another, and METEOR's own", json_schema_extra=MACHINE
    )
    timeout_s: float = Field(
        600.0, gt=0, description="Java that stays silent for longer is stopped, seconds", json_schema_extra=MACHINE
    )

    @field_validator("metrics", "tious")
    @classmethod
    def _each_once(cls, values: list[Any]) -> list[Any]:
        if len(set(values)) < len(values):
            raise ValueError("names one of them twice")
        return values


class EvaluateProposals(Section):
    """How proposals are scored; from the command line alone, since `road` does not."""

    subset: str = Field("validation", description="of the ground truth")
    max_avg_nr_proposals: float | None = Field(100.0, description="so many of a video count on average; null: all")


class EvaluateDetections(Section):
    """How labelled segments are scored; from the command line alone, since `road` does not."""

    subset: str = Field("validation", description="of the ground truth")
    per_class: bool = Field(False, description="whether the AP of each class is told")
