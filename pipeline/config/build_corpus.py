"""Section `build_corpus`: where the annotations and videos are, and how they are divided."""

from typing import Literal, Self

from pydantic import Field, model_validator

from pipeline.config.base import Section


class Fractions(Section):
    """How the official validation videos are divided, by a hash of their id; the rest is left out."""

    enlarged: float = Field(0.8, ge=0, le=1, description="appended to the training set (section 2 of the paper)")
    val: float = Field(0.1, ge=0, le=1, description="for model selection")
    test: float = Field(0.1, ge=0, le=1, description="for the reported score: never trained on, never selected on")

    @model_validator(mode="after")
    def _at_most_all(self) -> Self:
        if self.enlarged + self.val + self.test > 1 + 1e-9:
            raise ValueError("enlarged + val + test must not exceed 1")
        return self


class BuildCorpus(Section):
    """The corpus. Paths are relative to the folder that snakemake runs in."""

    actions: list[str] = Field(
        ["data/activity_net.v1-3.min.json"],
        description="action segments: ActivityNet's JSON, or TSP's ground-truth tables (.csv)",
    )
    subsets: dict[str, Literal["training", "validation", "testing"]] = Field(
        {}, description="which subset a file of `actions` holds, by its path: tables do not say it themselves"
    )
    label_map: str | None = Field(
        None, description="JSON list of the action classes (TSP's label mapping); null: all that occur, sorted"
    )
    background: Literal["given", "gaps"] = Field(
        "given", description="as the tables state it (ActivityNet's JSON does not), or what lies between actions"
    )
    duplicates: Literal["keep", "drop"] = Field("keep", description="action segments given twice (TSP trains on both)")
    uncaptioned: Literal["leave_out", "keep"] = Field(
        "leave_out", description="videos with actions that nobody captioned: encoders can learn from them"
    )
    captions_train: str | None = Field(
        "data/captions/train.json", description="ActivityNet Captions, training set; null: there are no captions"
    )
    captions_val: list[str] = Field(
        ["data/captions/val_1.json", "data/captions/val_2.json"],
        description="ActivityNet Captions, validation set, one file per annotator",
    )
    videos: str = Field("data/videos", description="folder of the raw videos, named <id>.<any suffix>")
    missing: Literal["fail", "allow"] = Field(
        "fail", description="videos that are annotated but not there: stop, or list them and go on"
    )
    reversed_segments: Literal["fail", "swap"] = Field(
        "fail", description="caption segments that end before they start: stop, or swap the two times"
    )
    limit_videos: int | None = Field(
        None, ge=1, description="of each split only so many are used, the first by id that are there; null: all"
    )
    fractions: Fractions = Field(Fractions(), description="division of the official validation set")
    pins: dict[str, Literal["enlarged", "val", "test"]] = Field(
        {}, description="official validation videos whose split is given here instead, by id"
    )

    @property
    def captions(self) -> list[str]:
        """All files of captions, that of the training set first."""
        return [*([self.captions_train] if self.captions_train else []), *self.captions_val]

    @model_validator(mode="after")
    def _something_is_annotated(self) -> Self:
        if self.captions_train is None and (self.captions_val or self.uncaptioned == "leave_out"):
            raise ValueError("without captions_train there are no captions: give captions_val: [], uncaptioned: keep")
        if self.captions_train is not None and not self.captions_val:
            raise ValueError("captions_val must name the validation set's captions")
        strangers = sorted(self.subsets.keys() - set(self.actions))
        if strangers:
            raise ValueError(f"subsets names {strangers[0]!r}, which is none of the files of actions")
        return self

    shards: int = Field(
        64, ge=1, le=9999, description="videos are processed in this many groups, by a hash of their id"
    )
