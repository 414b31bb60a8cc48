"""Section `probe_encoder`: what a linear classifier reads from clip features."""

from typing import Literal

from pydantic import Field

from pipeline.config.base import Section

Split = Literal["train", "enlarged", "val", "test"]


class ProbeEncoder(Section):
    """Linear probes of actions, regions and concepts."""

    train_splits: list[Split] = Field(["train"], min_length=1, description="whose clips the probes are fitted on")
    test_splits: list[Split] = Field(["test"], min_length=1, description="whose clips they are measured on")
    l2: float = Field(0.01, gt=0, description="weight decay of the probes, on standardised features")
    attributes: dict[str, list[str]] = Field(
        {}, description="kinds of concepts that are measured apart, and the words of each, lemmas: {colour: [red, ...]}"
    )
