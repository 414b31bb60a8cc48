"""Section `train_recognizer`: one entry per two-channel network (Mahdisoltani et al., 2018)."""

from itertools import pairwise
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from pipeline.config.base import MACHINE, Device, Section, device_field, steps_field
from pipeline.config.clip_geometry import ClipGeometry
from pipeline.config.two_channel import Pooling, TwoChannelWidths, parse_size
from pipeline.errors import PipelineError

TrainingSplit = Literal["train", "enlarged"]


class ClassWeightKnot(Section):
    """The weight of the class loss in an epoch."""

    epoch: int = Field(ge=1, description="number of the epoch, from 1")
    weight: float = Field(ge=0, le=1, description="lambda: weight of the class loss; the caption loss has the rest")


class RecognizerEntry(Section):
    """Training of one two-channel network on clips: a class, a caption, or both.

    The paper's models: coarse groups `{classes: groups, captions: null}`, fine classes `{captions: null}`, captions
    alone `{classes: null}`, and classes and captions together.
    """

    TARGET = "results/{dataset}_test_recognition.json"

    size: str = Field(
        "M(256-256)",
        description="features of the 3D and of the 2D channel, multiples of 8; the paper has M(256-0), M(512-0), "
        "M(384-128), M(256-256), M(128-384), M(0-512), M(0-256)",
    )
    encoder_dim: int = Field(1024, ge=2, multiple_of=2, description="size of the vector of a frame")
    embedding_dim: int = Field(256, ge=1, description="size of a word embedding")
    decoder_dim: int = Field(1024, ge=1, description="hidden size of the caption decoder")
    pooling: Pooling = Field(
        "features",
        description="what is averaged over time: the features (the paper), or the scores of each frame (its code)",
    )
    initialization: Literal["pytorch", "he"] = Field(
        "pytorch",
        description="initial weights of the linear layers before a ReLU: PyTorch's (the code), or those of He et al. "
        "(2015), which are 2.4 times as large: captions learn what is in a clip much earlier",
    )
    batchnorm: bool = Field(
        False,
        description="BatchNorm before the last ReLU of the encoder, which neither paper nor code has: the mean vectors "
        "of clips then differ more, and a few hundred clips teach the decoder what they show",
    )
    classes: Literal["classes", "groups"] | None = Field(
        "classes", description="what the classifier learns: classes, or groups of classes; null: no classifier"
    )
    captions: Literal["full", "simplified"] | None = Field(
        "simplified", description="what the decoder learns: full or simplified captions; null: no decoder"
    )
    cutoff: int = Field(5, ge=0, description="words that occur this often or less are unknown")
    max_length: int = Field(14, ge=2, description="tokens of a caption, the final one included")
    class_weight: list[ClassWeightKnot] = Field(
        [
            ClassWeightKnot(epoch=1, weight=1.0),
            ClassWeightKnot(epoch=11, weight=1.0),
            ClassWeightKnot(epoch=21, weight=0.1),
        ],
        min_length=1,
        description="lambda by epoch (the paper: first 1, then gradually down to 0.1, without a schedule); unused with "
        "one head",
    )
    caption_loss: Literal["sum", "mean"] = Field(
        "sum", description="over the tokens of a caption: their sum (the paper's Equation 1), or their mean (its code)"
    )
    interpolation: Literal["steps", "linear"] = Field(
        "linear",
        description="lambda between two epochs of class_weight: linear, or that of the earlier one (steps: the code)",
    )
    clip: ClipGeometry = Field(
        ClipGeometry(frames=48, fps=12.0, height=128, width=128, crop=96), description="geometry of a clip"
    )
    train_splits: list[TrainingSplit] = Field(["train"], min_length=1, description="splits to train on")
    epochs: int = Field(40, ge=1, description="number of training epochs")
    steps_per_epoch: int | None = steps_field()
    batch_size: int = Field(10, ge=1, description="clips per micro-batch: the batch of one GPU (the code: 8 to 20)")
    accumulate_steps: int = Field(
        2, ge=1, description="micro-batches per optimiser step, each normalised by its own batch statistics"
    )
    world_size: int = Field(
        1,
        ge=1,
        description="processes (and GPUs) that share the micro-batches of a step; divides accumulate_steps",
        json_schema_extra=MACHINE,
    )
    lr: float = Field(1.0e-3, gt=0, description="initial learning rate of Adam (the paper; its code also has 1e-4)")
    lr_factor: float = Field(
        0.1,
        gt=0,
        le=1,
        description="factor on the learning rate when val_score stands still, after the last epoch of class_weight",
    )
    patience: int = Field(2, ge=0, description="epochs without improvement before that")
    min_lr: float = Field(1.0e-8, ge=0, description="smallest learning rate")
    max_unreadable: float = Field(
        0.01, ge=0, le=1, description="largest share of an epoch's videos that may be unreadable"
    )
    precision: Literal["float32", "bfloat16"] = Field(
        "float32", description="number format of the layers; bfloat16 is about twice as fast on recent GPUs"
    )
    channels_last: bool = Field(True, description="keep channels adjacent in memory; faster on most devices")
    cache_gb: float = Field(
        0.0, ge=0, description="memory for decoded frames; 0 decodes each clip again [GB]", json_schema_extra=MACHINE
    )
    workers: int = Field(
        6, ge=0, description="data-loader workers; 0 reads in the training process", json_schema_extra=MACHINE
    )
    device: Device = device_field()
    save_every: int = Field(
        500, ge=1, description="steps between two checkpoints within an epoch", json_schema_extra=MACHINE
    )
    seed: int = Field(0, description="seed for the initial weights and the sampling")

    @property
    def widths(self) -> TwoChannelWidths:
        """Sizes of the layers."""
        return TwoChannelWidths(*parse_size(self.size), self.encoder_dim, self.embedding_dim, self.decoder_dim)

    @property
    def class_weight_by_epoch(self) -> dict[int, float]:
        """Lambda by epoch: 1 without a decoder, 0 without a classifier."""
        if self.classes is None or self.captions is None:
            return {1: float(self.captions is None)}
        return {knot.epoch: knot.weight for knot in self.class_weight}

    @field_validator("size")
    @classmethod
    def _is_size(cls, size: str) -> str:
        try:
            parse_size(size)
        except PipelineError as error:
            raise ValueError(str(error)) from None
        return size

    @model_validator(mode="after")
    def _check_heads(self) -> Self:
        if self.classes is None and self.captions is None:
            raise ValueError("classes and captions are both null: there is nothing to learn")
        epochs = [knot.epoch for knot in self.class_weight]
        if epochs[0] != 1 or any(later <= earlier for earlier, later in pairwise(epochs)):
            raise ValueError("class_weight starts at epoch 1 and its epochs increase")
        return self

    @model_validator(mode="after")
    def _check_clips(self) -> Self:
        if self.clip.crop < SMALLEST_CROP:
            raise ValueError(f"clip.crop {self.clip.crop} is too small; the convolutions need {SMALLEST_CROP} pixels")
        if self.accumulate_steps % self.world_size:
            raise ValueError(f"world_size {self.world_size} must divide accumulate_steps {self.accumulate_steps}")
        return self


SMALLEST_CROP = 56
"""Three poolings and three convolutions without padding leave one pixel of it."""
