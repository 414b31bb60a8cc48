"""Section `pretrain_encoder`: one entry per encoder (TSP, Section 4; SA-TSP, Sections 1.1 and 1.4)."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from pipeline.config.base import MACHINE, Device, Section, device_field, steps_field
from pipeline.config.clip_geometry import ClipGeometry
from pipeline.config.encoders import Architecture, ArchitectureSettings
from pipeline.config.losses import Losses, build_losses
from pipeline.config.pool_features import Pool


class GlobalFeature(Section):
    """The feature of the whole video that the region head sees in addition to the clip (TSP, Section 3.2)."""

    feature: str = Field(description="entry of `extract_features` that is pooled; its encoder is trained first")
    pool: Pool = Field("max", description="pooling over all clips of a video")


class EncoderEntry(ArchitectureSettings):
    """Pretraining of one encoder: L = action + alpha region + beta concepts (SA-TSP, Equation 1).

    The papers' variants by `losses`: TAC is `{action: 1.0}`, TSP `{action: 1.0, region: 1.0}`, TSP without the action
    head `{region: 1.0}`, SA-TSP all three. SA-TSP with binary cross-entropy sets gamma_neg, gamma_pos and margin of
    `concepts` to 0.
    """

    architecture: Architecture = Field("r2plus1d_34", description="architecture of the clip encoder")
    initial_weights: str | None = Field(
        "r2plus1d_34_8_kinetics",
        description="initial weights: published ones by name (docs/weights.md), or a .pth or .safetensors file; null: "
        "random weights",
    )
    keep_heads: bool = Field(False, description="initialise the heads too from that file, if it has them")
    clip: ClipGeometry = Field(ClipGeometry(), description="geometry of a clip")
    clips_per_segment: int = Field(5, ge=1, description="clips drawn from each segment per epoch")
    background_gap: float = Field(
        5.333,
        gt=0,
        description="shortest gap between actions that counts as background (5 clips, as in TSP); unused if the "
        "annotations state the background [s]",
    )
    global_feature: GlobalFeature | None = Field(
        None, description="feature of the video for the region head (TSP: initial, max); null: none"
    )
    balance: bool = Field(
        True,
        description="draw as many background clips as foreground clips per epoch (TSP's paper); false: draw the same "
        "number from each segment (its code)",
    )
    val_splits: list[Literal["enlarged", "val", "test"]] = Field(
        ["val"], min_length=1, description="splits of the official validation set on which the epoch is selected"
    )
    max_unreadable: float = Field(
        0.01, ge=0, le=1, description="largest share of an epoch's videos that may be unreadable"
    )
    empty_classes: Literal["fail", "allow"] = Field(
        "fail", description="action classes without any training clip: stop, or train the other classes"
    )
    losses: Losses = Field(
        build_losses(action=1.0, region=1.0, concepts=0.1),
        description="terms of the loss; a number is the weight. A term that is absent or has the weight 0 has no head",
    )
    epochs: int = Field(8, ge=0, description="number of training epochs; 0: the encoder with its initial weights")
    steps_per_epoch: int | None = steps_field()
    batch_size: int = Field(32, ge=1, description="clips per micro-batch: the batch of one GPU, as published")
    accumulate_steps: int = Field(
        1,
        ge=1,
        description="micro-batches per optimiser step, each normalised by its own batch statistics; the learning rates "
        "below are multiplied by it (TSP: 2 GPUs)",
    )
    world_size: int = Field(
        1,
        ge=1,
        description="processes (and GPUs) that share the micro-batches of a step; divides accumulate_steps",
        json_schema_extra=MACHINE,
    )
    backbone_lr: float = Field(1.0e-4, ge=0, description="peak learning rate of the backbone, for one micro-batch")
    head_lr: list[Annotated[float, Field(ge=0)]] = Field(
        [2.0e-3],
        min_length=1,
        description="peak learning rates of the heads, for one micro-batch; several are a sweep, which keeps the rate "
        "with the best val_score",
    )
    freeze_stem: bool = Field(True, description="freeze the stem, as TSP does; random initial weights need false")
    momentum: float = Field(0.9, ge=0, lt=1, description="momentum of SGD")
    weight_decay: float = Field(0.005, ge=0, description="weight decay of SGD")
    warmup_epochs: float = Field(2.0, ge=0, description="duration of the linear warm-up [epochs]")
    milestones: list[float] = Field([4.0, 6.0], description="times at which the learning rates decay [epochs]")
    decay: float = Field(0.01, gt=0, le=1, description="factor of each decay")
    precision: Literal["float32", "bfloat16"] = Field(
        "float32",
        description="number format of the layers; bfloat16 is about twice as fast on recent GPUs; losses stay float32",
    )
    channels_last: bool = Field(True, description="keep channels adjacent in memory; faster on most devices")
    compile: bool = Field(False, description="use torch.compile; pays off in long runs, needs a C++ compiler")
    cache_gb: float = Field(
        0.0,
        ge=0,
        description="memory for decoded frames; 0 decodes each clip again [GB]",
        json_schema_extra=MACHINE,
    )
    workers: int = Field(
        6, ge=0, description="data-loader workers; 0 reads in the training process", json_schema_extra=MACHINE
    )
    device: Device = device_field()
    save_every: int = Field(
        500, ge=1, description="steps between two checkpoints within an epoch", json_schema_extra=MACHINE
    )
    seed: int = Field(0, description="seed for the initial weights, the sampling and the augmentation")

    @property
    def learns_regions(self) -> bool:
        """Whether a term of the loss needs background clips."""
        return self.losses.needs("region")

    @property
    def learns_concepts(self) -> bool:
        """Whether a term of the loss needs the concepts."""
        return self.losses.needs("concepts")

    @model_validator(mode="after")
    def _microbatches_are_shared_evenly(self) -> Self:
        if self.accumulate_steps % self.world_size:
            raise ValueError(f"world_size {self.world_size} must divide accumulate_steps {self.accumulate_steps}")
        return self

    @model_validator(mode="after")
    def _has_initial_weights(self) -> Self:
        if self.freeze_stem and self.initial_weights is None:
            raise ValueError("freeze_stem keeps a random stem; give initial_weights, or set freeze_stem: false")
        if self.keep_heads and self.initial_weights is None:
            raise ValueError("keep_heads: true needs initial_weights with heads")
        return self
