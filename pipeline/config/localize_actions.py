"""Section `localize_actions`: one entry per set of detections."""

from typing import Literal, Self

from pydantic import Field, model_validator

from pipeline.config.base import Device, Section, device_field


class FusedLocalizer(Section):
    """A localizer whose raw scores enter the detections."""

    localizer: str = Field(description="entry of `train_localizer`")
    weight: float = Field(1.0, gt=0, description="weight of its raw scores in the mean over the localizers")


class DetectionsEntry(Section):
    """Detections of one localizer, or of several localizers of one kind whose raw scores are averaged."""

    TARGET = "results/{dataset}_test_detections.json"

    localizers: list[FusedLocalizer] = Field(
        min_length=1, description="localizers of one kind; the settings of the first one decide the selection"
    )
    classifier: str | None = Field(
        "learned",
        description="entry of `classify_videos` that gives the segments of a video their classes; null for localizers "
        "that classify segments themselves",
    )
    splits: list[Literal["train", "enlarged", "val", "test", "submission"]] = Field(
        ["enlarged", "val", "test"], min_length=1, description="splits in whose videos actions are localized"
    )
    top_classes: int = Field(2, ge=1, description="how many of the best classes of a video get its segments")
    device: Device = device_field()

    @model_validator(mode="after")
    def _check_localizers(self) -> Self:
        names = [fused.localizer for fused in self.localizers]
        if len(set(names)) < len(names):
            raise ValueError(f"localizers names one twice: {', '.join(names)}")
        return self
