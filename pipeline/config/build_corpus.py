"""Section `build_corpus`: where annotations and videos come from, and how they are divided."""

from typing import Literal, Self

from pydantic import Field, model_validator

from pipeline.config.base import Section
from pipeline.config.readers import READERS, Content, ReaderChoice, parse_reader
from pipeline.errors import PipelineError


class ValidationSplitFractions(Section):
    """How the validation videos are divided, by a hash of their id; the rest is left out."""

    enlarged: float = Field(0.8, ge=0, le=1, description="part for training, beside the training set (section 2)")
    val: float = Field(0.1, ge=0, le=1, description="part for model selection")
    test: float = Field(0.1, ge=0, le=1, description="part for the reported score: not used to train or select")
    train: float = Field(0.0, ge=0, le=1, description="part for training, for datasets without captions_train")

    @model_validator(mode="after")
    def _check_sum(self) -> Self:
        if self.enlarged + self.val + self.test + self.train > 1 + 1e-9:
            raise ValueError("enlarged + val + test + train must not exceed 1")
        return self


class BuildCorpus(Section):
    """The corpus. Paths are relative to the folder in which snakemake runs."""

    actions: list[str] = Field(
        ["data/activity_net.v1-3.min.json"],
        description="files of action segments, in any format of `readers`; []: every captioned event is a segment of "
        "one class",
    )
    readers: dict[str, ReaderChoice] = Field(
        {},
        description="reader of an annotation file or folder by its path, if its suffix does not tell, or "
        f"{{name: READER, SETTING: VALUE}}: {', '.join(READERS)}",
    )
    subsets: dict[str, Literal["training", "validation", "testing"]] = Field(
        {},
        description="subset of a file of `actions` or `clips`, by its path, if the file does not state it (tables do "
        "not); that of a file of clips replaces what the file states",
    )
    label_map: str | None = Field(
        None, description="JSON list of the action classes (TSP's label mapping); null: all that occur, sorted"
    )
    background: Literal["given", "gaps"] = Field(
        "given",
        description="background segments: given: as the files state them, if they do (TSP's tables do, ActivityNet's "
        "JSON does not); gaps: between actions",
    )
    duplicates: Literal["keep", "drop"] = Field(
        "keep", description="repeated action segments: keep (as TSP does) or drop them"
    )
    uncaptioned: Literal["leave_out", "keep"] = Field(
        "leave_out", description="videos with actions but without captions: leave them out, or keep them for encoders"
    )
    captions_train: str | None = Field(
        "data/captions/train.json",
        description="captions of the training set: a file, or a folder with a file for each video; null: there are "
        "none, or `fractions.train` divides those of captions_val",
    )
    captions_val: list[str] = Field(
        ["data/captions/val_1.json", "data/captions/val_2.json"],
        description="captions of the validation set, one file or folder per annotator",
    )
    clips: list[str] = Field(
        [],
        description="files of captioned clips, in any format of `readers`, instead of captions of events: a clip is a "
        "video with one event as long as itself, and its captions are those of as many annotators",
    )
    videos: str = Field("data/videos", description="folder of the raw videos, named <id>.<any suffix>")
    missing: Literal["fail", "allow"] = Field(
        "fail", description="annotated videos without a file: fail, or record them in rejects.parquet and continue"
    )
    reversed_segments: Literal["fail", "swap"] = Field(
        "fail", description="captioned events that end before they start: fail, or swap the two times"
    )
    limit_videos: int | None = Field(
        None, ge=1, description="use only the first so many videos (by id) of each split that have a file; null: all"
    )
    fractions: ValidationSplitFractions = Field(
        ValidationSplitFractions(), description="division of the official validation set"
    )
    pins: dict[str, Literal["enlarged", "val", "test", "train"]] = Field(
        {},
        description="split of single official validation videos, or of any clips, by id, instead of the hash or of "
        "what the file states",
    )
    shards: int = Field(
        64, ge=1, le=9999, description="number of shards that the videos are processed in, by a hash of their id"
    )

    @property
    def captions(self) -> list[str]:
        """All caption files, that of the training set first."""
        return [*([self.captions_train] if self.captions_train else []), *self.captions_val]

    @model_validator(mode="after")
    def _check_captions(self) -> Self:
        if self.clips:
            if self.captions or self.actions:
                raise ValueError(
                    "clips take the place of captions and actions: give captions_train: null, captions_val: [] and "
                    "actions: []"
                )
            return self
        if not self.captions and self.uncaptioned == "leave_out":
            raise ValueError("there are no captions: give uncaptioned: keep")
        if not self.captions and not self.actions:
            raise ValueError("there are no annotations: give captions_train and captions_val, or actions")
        if self.captions_train is not None and not self.captions_val:
            raise ValueError("captions_val must name the validation set's captions")
        has_training_part = self.fractions.train > 0 or "train" in self.pins.values()
        if self.captions_train is None and self.captions_val and not has_training_part:
            raise ValueError("without captions_train there are no training videos: give fractions.train a part")
        return self

    @model_validator(mode="after")
    def _check_annotations(self) -> Self:
        unknown = sorted(self.subsets.keys() - {*self.actions, *self.clips})
        if unknown:
            raise ValueError(f"subsets names {unknown[0]!r}, which is in neither actions nor clips")
        contents: dict[str, Content] = {
            **dict.fromkeys(self.captions, "captions"),
            **dict.fromkeys(self.clips, "clips"),
            **dict.fromkeys(self.actions, "actions"),
        }
        for path, reader in self.readers.items():
            if path not in contents:
                raise ValueError(f"readers names {path!r}, which is in none of actions, captions and clips")
            try:
                parse_reader(reader, contents[path])
            except PipelineError as error:
                raise ValueError(str(error).removeprefix("config: ")) from None
        return self
