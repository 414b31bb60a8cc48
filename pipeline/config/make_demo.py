"""Section `make_demo`: the miniature ActivityNet."""

from typing import Self

from pydantic import Field, model_validator

from pipeline.config.base import MACHINE, Section


class MakeDemo(Section):
    """What the demo corpus is made of."""

    seed: int = Field(0, description="everything in the corpus follows from it")
    train_videos: int = Field(96, ge=1, description="videos of the official training set")
    val_videos: int = Field(120, ge=3, description="videos of the official validation set, captioned by two annotators")
    test_videos: int = Field(6, ge=0, description="videos of the official test set, without annotations")
    broken_videos: int = Field(4, ge=0, description="training videos (of the number above) broken on purpose")
    workers: int = Field(2, ge=1, description="processes that draw and encode", json_schema_extra=MACHINE)

    @model_validator(mode="after")
    def _broken_among_training(self) -> Self:
        if self.broken_videos > self.train_videos:
            raise ValueError("broken_videos must not exceed train_videos")
        return self
