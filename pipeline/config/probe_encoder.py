"""Section `probe_encoder`: linear probes of clip features."""

from typing import Literal

from pydantic import Field

from pipeline.config.base import Section

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
    attributes: dict[str, list[str]] = Field(
        {},
        description="groups of concepts to report separately, each with its words (lemmas): {colour: [red, ...]}",
    )
