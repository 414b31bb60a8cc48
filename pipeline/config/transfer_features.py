"""Section `transfer_features`: classifiers of frozen features, trained on few labelled clips or on all."""

from typing import Annotated, Any, Literal

from pydantic import Field, RootModel, SerializeAsAny, WrapValidator

from pipeline.config.base import MACHINE, Device, Section, Settings, device_field
from pipeline.config.registry import validate_kind

Shots = Annotated[int, Field(ge=1)] | None
"""Training clips of each class; None: all."""


class TransferClassifierSettings(Section):
    """Settings that all classifiers share: which features they classify, and how often they are trained."""

    features: list[str] | None = Field(None, min_length=1, description="features to classify; null: all of the stage")
    shots: list[Shots] | None = Field(
        None, min_length=1, description="training clips of each class; null: those of the stage"
    )
    runs: int | None = Field(None, ge=1, le=30, description="number of runs; null: that of the stage")


class RegressionSettings(TransferClassifierSettings):
    """Softmax regression, solved to its optimum."""

    kind: Literal["regression"] = Field("regression", description="softmax regression of each row")
    rows: Literal["each", "mean", "middle"] = Field(
        "each",
        description="each: classify every row and average the probabilities (the paper); mean: classify the mean row "
        "of a clip, which needs less memory; middle: classify the row in the middle",
    )
    l2: float = Field(
        0.01, gt=0, description="L2 penalty: mean loss + l2 / 2 x squared norm of the weights, on standardised features"
    )


class NetworkClassifierSettings(TransferClassifierSettings):
    """Settings of the classifiers that Adam trains; the paper states no more than their sizes."""

    steps: int = Field(200, ge=1, description="training steps; the learning rate falls linearly to 0")
    batch_size: int = Field(32, ge=1, description="clips per step")
    lr: float = Field(1.0e-3, gt=0, description="initial learning rate of Adam")


class PerceptronSettings(NetworkClassifierSettings):
    """A perceptron of two layers."""

    kind: Literal["perceptron"] = Field("perceptron", description="two linear layers with ReLU between, of each row")
    rows: Literal["each", "mean", "middle"] = Field(
        "each", description="each: classify every row and average the probabilities; mean or middle: classify that row"
    )
    hidden_dim: int = Field(512, ge=1, description="hidden units (512 in Figure 4, 1,024 in Table 1)")


class LstmSettings(NetworkClassifierSettings):
    """An LSTM over the rows of a clip."""

    kind: Literal["lstm"] = Field("lstm", description="an LSTM over the rows; the mean of its outputs is classified")
    bidirectional: bool = Field(True, description="read the rows in both directions (Figure 4), or forwards (Table 1)")
    hidden_dim: int = Field(128, ge=1, description="hidden units of each direction (128 in Figure 4, 1,024 in Table 1)")


TRANSFER_KINDS: dict[str, type[Section]] = {
    "regression": RegressionSettings,
    "perceptron": PerceptronSettings,
    "lstm": LstmSettings,
}
"""The value of `kind` -> its settings."""


def _validate(entry: Any, _handler: Any) -> Any:
    return validate_kind(entry, TRANSFER_KINDS)


AnyTransferClassifier = RegressionSettings | PerceptronSettings | LstmSettings


class TransferClassifierEntry(
    RootModel[
        Annotated[
            SerializeAsAny[AnyTransferClassifier],
            WrapValidator(
                _validate, json_schema_input_type=Annotated[AnyTransferClassifier, Field(discriminator="kind")]
            ),
        ]
    ],
    Settings,
):
    """One classifier of frozen features, of any kind."""


class TransferFeatures(Section):
    """Classifiers of frozen features, on k labelled clips of each class (Mahdisoltani et al., 2018, section 6)."""

    TARGET = "results/{dataset}_transfer.json"

    features: list[str] = Field([], description="entries of extract_features to compare; []: all")
    classifiers: dict[str, TransferClassifierEntry] = Field(
        {
            "regression": TransferClassifierEntry(RegressionSettings()),
            "perceptron": TransferClassifierEntry(PerceptronSettings()),
            "bilstm": TransferClassifierEntry(LstmSettings()),
        },
        min_length=1,
        description="classifiers of the features, by name; the default has those of Figure 4",
    )
    shots: list[Shots] = Field([1, 5, None], min_length=1, description="training clips of each class; null: all")
    runs: int = Field(
        10, ge=1, le=30, description="runs, each with its own clips and weights; a regression on all clips has one"
    )
    train_split: Literal["train", "enlarged", "val"] = Field("train", description="split of the labelled clips")
    test_split: Literal["enlarged", "val", "test"] = Field("test", description="split of the classified clips")
    seed: int = Field(0, description="seed of the draws and of the weights")
    cache_gb: float = Field(
        8.0,
        ge=0,
        description="memory for features; others are read again each time [GB]",
        json_schema_extra=MACHINE,
    )
    device: Device = device_field()
    workers: int = Field(1, ge=1, description="threads of linear algebra", json_schema_extra=MACHINE)
