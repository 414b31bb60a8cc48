"""Section `transfer_features`: few-shot classification of frozen features."""

from typing import Annotated, Literal

from pydantic import Field

from pipeline.config.base import MACHINE, Section


class TransferFeatures(Section):
    """Logistic regression on k labelled clips of each class (Mahdisoltani et al., 2018, section 6)."""

    TARGET = "results/{dataset}_transfer.json"

    features: list[str] = Field([], description="entries of extract_features to compare; []: all")
    shots: list[Annotated[int, Field(ge=1)] | None] = Field(
        [1, 5, None], min_length=1, description="training clips of each class; null: all"
    )
    runs: int = Field(10, ge=2, le=30, description="draws of the training clips; all of them are fitted once")
    rows: Literal["each", "mean"] = Field(
        "each",
        description="each: classify every feature row and average the probabilities (the paper); mean: classify the "
        "mean row of a clip, which needs less memory",
    )
    l2: float = Field(
        0.01, gt=0, description="L2 penalty: mean loss + l2 / 2 x squared norm of the weights, on standardised features"
    )
    train_split: Literal["train", "enlarged", "val"] = Field("train", description="split of the labelled clips")
    test_split: Literal["enlarged", "val", "test"] = Field("test", description="split of the classified clips")
    seed: int = Field(0, description="seed of the draws")
    workers: int = Field(1, ge=1, description="threads of linear algebra", json_schema_extra=MACHINE)
