"""Section `classify_videos`: one entry per classifier of whole videos."""

from typing import Annotated, Any, Literal

from pydantic import Field, RootModel, SerializeAsAny, WrapValidator

from pipeline.config.base import Section, Settings
from pipeline.config.pool_features import Pool
from pipeline.config.registry import validate_kind


class LearnedClassifierSettings(Section):
    """A linear classifier of pooled features (logistic regression, solved to its optimum)."""

    kind: Literal["learned"] = Field("learned", description="a linear classifier of pooled features")
    features: list[str] = Field(
        ["sa_tsp"], min_length=1, description="entries of `extract_features`, pooled over each video and concatenated"
    )
    pools: list[Pool] = Field(["mean"], min_length=1, description="kinds of pooling to concatenate")
    splits: list[Literal["train", "enlarged"]] = Field(["train"], min_length=1, description="splits to train on")
    l2: float = Field(
        0.01,
        gt=0,
        description="L2 penalty: mean loss + l2 / 2 x squared norm of the weights, on standardised features",
    )


class FileClassifierSettings(Section):
    """Class scores of a file."""

    kind: Literal["file"] = Field("file", description="class scores of a file")
    path: str = Field(
        min_length=1,
        description="JSON with the scores of each video and the names of the classes (CUHK's file for ActivityNet), or "
        "an array (.npy) with a row for each video (UntrimmedNet's for THUMOS14)",
    )
    classes: str | None = Field(
        None, description="of an array: the names of its columns, a line each, or a JSON list; null for JSON"
    )
    id_prefix: str | None = Field(
        None,
        description="of an array: row 0 is the video whose id is this and a 1 (with leading zeros), and so on; other "
        "videos have no scores; null for JSON",
    )
    other_classes: Literal["fail", "drop"] = Field(
        "fail", description="what to do with classes of the file that the corpus does not have"
    )


CLASSIFIER_KINDS: dict[str, type[Section]] = {"learned": LearnedClassifierSettings, "file": FileClassifierSettings}
"""The value of `kind` -> its settings."""


def _validate(entry: Any, _handler: Any) -> Any:
    return validate_kind(entry, CLASSIFIER_KINDS)


ClassifierSettings = LearnedClassifierSettings | FileClassifierSettings


class ClassifierEntry(
    RootModel[
        Annotated[
            SerializeAsAny[ClassifierSettings],
            WrapValidator(_validate, json_schema_input_type=Annotated[ClassifierSettings, Field(discriminator="kind")]),
        ]
    ],
    Settings,
):
    """One classifier of whole videos, of any kind."""

    TARGET = "results/{dataset}/video_classes/learned.json"
