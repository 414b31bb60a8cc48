"""Section `evaluate`: the official ActivityNet Captions evaluator."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, field_validator

from pipeline.config.base import MACHINE, Section, Settings
from pipeline.config.metrics import METRICS, MetricSettings, check_metric

MetricName = Annotated[str, AfterValidator(check_metric), Field(json_schema_extra={"enum": list(METRICS)})]


class Evaluate(Section):
    """How captions are scored."""

    metrics: list[MetricName] = Field(
        list(METRICS),
        min_length=1,
        description=f"metrics, besides precision and recall of the events: {', '.join(METRICS)}",
    )
    metric_settings: MetricSettings = Field(MetricSettings(), description="settings of single metrics, by name")
    variant: Literal["2018", "2021"] = Field(
        "2021", description="reference of an unmatched caption: four garbage words (2018) or one (2021)"
    )
    tious: list[Annotated[float, Field(ge=0, le=1)]] = Field(
        [0.3, 0.5, 0.7, 0.9], min_length=1, description="temporal IoU thresholds"
    )
    max_proposals: int = Field(1000, ge=1, description="only the first captions of a video count, this many")
    require_complete: bool = Field(False, description="refuse captions that lack a video of the references")
    bootstrap: int = Field(
        1000, ge=0, description="draws of the 95 % confidence intervals, bootstrap over videos; 0: no intervals"
    )
    workers: int = Field(
        1, ge=1, description="threads: metrics run in parallel, and METEOR in itself", json_schema_extra=MACHINE
    )
    timeout_s: float = Field(
        600.0, gt=0, description="a Java that is silent for this long is stopped [s]", json_schema_extra=MACHINE
    )

    @field_validator("metrics", "tious")
    @classmethod
    def _reject_duplicates(cls, values: list[Any]) -> list[Any]:
        if len(set(values)) < len(values):
            raise ValueError("a value is listed twice")
        return values

    def settings_of(self, metric: str) -> Any:
        """Return the settings of a metric; those of a metric without settings are empty."""
        settings: Settings | None = getattr(self.metric_settings, metric, None)
        return METRICS[metric].settings() if settings is None else settings


class EvaluateProposals(Section):
    """How proposals are scored, on the command line; the section of the rule is `evaluate_localization`."""

    subset: str = Field("validation", description="subset of the ground truth")
    max_avg_nr_proposals: float | None = Field(
        100.0, description="average number of proposals per video that count; null: all"
    )


ACTIVITYNET_TIOUS = [0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95]
"""Thresholds of ActivityNet's detection task."""


def tious_field() -> Any:
    """Return the field `tious` of sections that score detections."""
    return Field(ACTIVITYNET_TIOUS, min_length=1, description="temporal IoU thresholds of mAP (THUMOS14: 0.3 to 0.7)")


class EvaluateDetections(Section):
    """How labelled segments are scored, on the command line; the section of the rule is `evaluate_localization`."""

    subset: str = Field("validation", description="subset of the ground truth")
    tious: list[Annotated[float, Field(gt=0, le=1)]] = tious_field()
    per_class: bool = Field(False, description="report the AP of each class")
