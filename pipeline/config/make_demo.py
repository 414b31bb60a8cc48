"""Section `make_demo`: size and seed of the synthetic demo dataset."""

from typing import Self

from pydantic import Field, model_validator

from pipeline.config.base import MACHINE, Section


class MakeDemo(Section):
    """Size and seed of the demo dataset."""

    seed: int = Field(0, description="seed of all videos and annotations")
    train_videos: int = Field(96, ge=1, description="number of videos in the official training set")
    val_videos: int = Field(
        120, ge=3, description="number of videos in the official validation set, captioned by two annotators"
    )
    test_videos: int = Field(6, ge=0, description="number of videos in the official test set, without annotations")
    broken_videos: int = Field(4, ge=0, description="number of training videos that are damaged on purpose")
    workers: int = Field(2, ge=1, description="processes that draw and encode videos", json_schema_extra=MACHINE)

    @model_validator(mode="after")
    def _check_broken_videos(self) -> Self:
        if self.broken_videos > self.train_videos:
            raise ValueError(f"broken_videos = {self.broken_videos} exceeds train_videos = {self.train_videos}")
        return self
