"""Section `probe_encoder`: linear probes of clip features."""

from typing import Literal

from pydantic import Field

from pipeline.config.base import MACHINE, Section

Split = Literal["train", "enlarged", "val", "test"]


class ProbeEncoder(Section):
    """Linear probes of actions, regions and concepts."""

    TARGET = "results/{dataset}/probes/sa_tsp.json"

    train_splits: list[Split] = Field(["train"], min_length=1, description="splits to fit the probes on")
    test_splits: list[Split] = Field(["test"], min_length=1, description="splits to measure the probes on")
    l2: float = Field(
        0.01,
        gt=0,
        description="L2 penalty: mean loss + l2 / 2 x squared norm of the weights, on standardised features",
    )
    max_clips: int | None = Field(
        None,
        ge=1,
        description="fit on at most this many clips of `train_splits`, drawn at random with a fixed seed; null: all",
    )
    workers: int = Field(4, ge=1, description="threads: concepts are fitted in parallel", json_schema_extra=MACHINE)
    attributes: dict[str, list[str]] = Field(
        {},
        description="groups of concepts to report separately, each with its words (lemmas): {colour: [red, ...]}",
    )
