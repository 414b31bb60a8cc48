"""Section `make_clips`: size and seed of the synthetic dataset of clips."""

from typing import Self

from pydantic import Field, model_validator

from pipeline.config.base import MACHINE, Section


class MakeClips(Section):
    """A miniature of MSR-VTT: events of the demo's videos as clips, several captions each, motions as categories."""

    TARGET = "results/{dataset}/clips/manifest.json"

    seed: int = Field(0, description="seed of all clips and captions")
    train_clips: int = Field(260, ge=1, description="number of clips for training")
    val_clips: int = Field(60, ge=1, description="number of clips for the selection of epochs")
    test_clips: int = Field(140, ge=1, description="number of clips for the reported score")
    captions: int = Field(5, ge=1, description="captions of each clip")
    missing_clips: int = Field(
        4, ge=0, description="number of training clips that are annotated and have no file, as clips that are deleted"
    )
    workers: int = Field(2, ge=1, description="processes that draw and encode clips", json_schema_extra=MACHINE)

    @model_validator(mode="after")
    def _check_missing_clips(self) -> Self:
        if self.missing_clips >= self.train_clips:
            raise ValueError(f"missing_clips = {self.missing_clips} leaves no file of train_clips = {self.train_clips}")
        return self
