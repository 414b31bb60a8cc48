"""Section `make_acts`: size and seed of the synthetic dataset of acts."""

from pydantic import Field

from pipeline.config.base import MACHINE, Section


class MakeActs(Section):
    """A miniature of Something-Something: clips of one act each, as classes within groups, with captions."""

    TARGET = "results/{dataset}/acts/manifest.json"

    seed: int = Field(0, description="seed of all videos and annotations")
    train_videos: int = Field(420, ge=1, description="number of videos in the training set")
    val_videos: int = Field(210, ge=1, description="number of videos in the validation set")
    workers: int = Field(2, ge=1, description="processes that draw and encode videos", json_schema_extra=MACHINE)
