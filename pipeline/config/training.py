"""Settings that the trainings of several stages share: captioners, SCST, proposers.

A section derives from these models and declares a field again only where its default differs.
"""

from typing import Any, Literal

from pydantic import Field

from pipeline.config.base import MACHINE, Device, Section

Selection = Literal["meteor", "last"]


def epochs_field(default: Any = ...) -> Any:
    """Return the field `epochs` with another default; without one, the setting is required."""
    return Field(default, ge=1, description="number of training epochs (passes over the training videos)")


def lr_field(default: float) -> Any:
    """Return the field `lr` with another default."""
    return Field(default, gt=0, description="initial learning rate of Adam")


class FeatureTrainingSettings(Section):
    """Settings of every training on cached features."""

    epochs: int = epochs_field(40)
    steps_per_epoch: int | None = Field(
        None, ge=1, description="end each epoch after this many steps, to rehearse a run (null: use all videos)"
    )
    lr: float = lr_field(1.0e-4)
    cache_gb: float = Field(
        4.0,
        ge=0,
        description="memory for cached features in GB; features beyond it are read again in each epoch",
        json_schema_extra=MACHINE,
    )
    device: Device = Field(
        "auto", description="device to train on (auto: a GPU if there is one)", json_schema_extra=MACHINE
    )


class CaptionerTrainingSettings(FeatureTrainingSettings):
    """Settings that cross-entropy and self-critical training of captioners share."""

    splits: list[Literal["train", "enlarged"]] = Field(
        ["train"],
        min_length=1,
        description="splits to train on; `enlarged` is the part of the validation videos that the paper adds",
    )
    batch_videos: int = Field(1, ge=1, description="videos per step, each with all its events")
    clip_gradient: float = Field(100.0, gt=0, description="gradient clipping by value")
    selection: Selection = Field(
        "meteor", description="which epoch to keep: the one with the best METEOR on the split `val`, or the last"
    )
    evaluate_every: int = Field(1, ge=1, description="epochs between two validations on `val`")
