"""Section `pretrain_encoder`: one entry per encoder (TSP, section 4; SA-TSP, sections 1.1 and 1.4)."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from pipeline.config.base import MACHINE, Device, Section, device_field, steps_field
from pipeline.config.pool_features import Pool


class Clip(Section):
    """What one clip is, in time and in space."""

    frames: int = Field(16, ge=1, description="frames of a clip")
    fps: float = Field(15.0, gt=0, description="frames per second within a clip; divides the re-encoded rate")
    resize: Literal["stretch", "short_side"] = Field(
        "stretch",
        description="frames are resized to height and width, whatever their aspect ratio (TSP's code), or so that "
        "their short side is height (its paper)",
    )
    height: int = Field(128, ge=8, description="of the resized frame, or its short side, pixels")
    width: int = Field(171, ge=8, description="of the resized frame, pixels; not used by short_side")
    crop: int = Field(112, ge=8, description="then cropped to this square: random in training, central otherwise")

    @model_validator(mode="after")
    def _crop_fits(self) -> Self:
        if self.crop > min(self.resized(self.height, self.width)):
            raise ValueError(f"crop {self.crop} exceeds the frame of {self.height} x {self.width}")
        return self

    def resized(self, height: int, width: int) -> tuple[int, int]:
        """Height and width, pixels, of a frame of the given size once it is resized."""
        if self.resize == "stretch":
            return self.height, self.width
        # The long side is rounded down, as torchvision does.
        if height <= width:
            return self.height, self.height * width // height
        return self.height * height // width, self.height

    @property
    def seconds(self) -> float:
        """Length of a clip in seconds (16/15 as published)."""
        return self.frames / self.fps


class AsymmetricLoss(Section):
    """Asymmetric multi-label loss (Ben-Baruch et al., 2020)."""

    gamma_neg: float = Field(4.0, ge=0, description="focusing of the negatives")
    gamma_pos: float = Field(1.0, ge=0, description="focusing of the positives")
    margin: float = Field(0.05, ge=0, lt=1, description="probability below which a negative costs nothing")


class GlobalFeature(Section):
    """What the region head sees of the whole video, beside the clip (TSP, section 3.2)."""

    feature: str = Field(description="the entry of `extract_features` that is pooled; its encoder is trained before")
    pool: Pool = Field("max", description="over all clips of a video")


class PretrainEncoder(Section):
    """Pretraining of one encoder: L = action + alpha region + beta semantic (equation 1).

    The papers' variants: `tac` is alpha 0 and beta 0, `tsp` beta 0, `tsp` without the action head action 0; `sa_tsp`
    with binary cross-entropy is gamma_neg, gamma_pos and margin 0.
    """

    architecture: Literal["r2plus1d_34", "r2plus1d_18", "r3d_18", "r2plus1d_narrow"] = Field(
        "r2plus1d_34", description="the clip encoder"
    )
    initial_weights: str | None = Field(
        "r2plus1d_34_8_kinetics",
        description="published weights to start from (docs/weights.md), or a .pth or .safetensors file; null: random",
    )
    bn_momentum: float = Field(
        0.1,
        gt=0,
        le=1,
        description="share of the newest batch in running statistics; TSP's code: 0.9 (docs/weights.md)",
    )
    keep_heads: bool = Field(False, description="start from the heads of that file too, those that this encoder has")
    clip: Clip = Field(Clip(), description="what one clip is")
    clips_per_segment: int = Field(5, ge=1, description="clips drawn from each segment in an epoch")
    background_gap: float = Field(
        5.333,
        gt=0,
        description="background lies between actions that are this far apart, seconds (5 clips, as TSP's); "
        "not used where the annotations state the background",
    )
    global_feature: GlobalFeature | None = Field(
        None, description="of the video, for the region head (TSP: initial, max); null: it sees the clip alone"
    )
    balance: bool = Field(
        True,
        description="as many background clips as foreground clips in an epoch (TSP's paper); or all (its code)",
    )
    val_splits: list[Literal["enlarged", "val", "test"]] = Field(
        ["val"], min_length=1, description="splits of the official validation set that epochs are chosen on"
    )
    max_unreadable: float = Field(
        0.01, ge=0, le=1, description="share of an epoch's videos that may turn out to be unreadable while it runs"
    )
    empty_classes: Literal["fail", "allow"] = Field(
        "fail", description="action classes that no training video shows: stop, or learn the others"
    )
    action: float = Field(1.0, ge=0, description="weight of the action loss; 0 leaves its head out")
    alpha: float = Field(1.0, ge=0, description="weight of the temporal region loss; 0 leaves its head out")
    beta: float = Field(0.1, ge=0, description="weight of the semantic concept loss; 0 leaves its head out (plain TSP)")
    semantic_loss: AsymmetricLoss = Field(AsymmetricLoss(), description="the loss of the concepts")
    epochs: int = Field(8, ge=0, description="passes over the clips; 0: the encoder as it begins")
    steps_per_epoch: int | None = steps_field()
    batch_size: int = Field(32, ge=1, description="clips of a part of a step: of a GPU, as published")
    replicas: int = Field(
        1,
        ge=1,
        description="parts of a step, each normalised by itself; the rates below are multiplied by it. TSP's: 2 GPUs",
    )
    processes: int = Field(
        1,
        ge=1,
        description="processes (and GPUs) that share the parts of a step; divides replicas",
        json_schema_extra=MACHINE,
    )
    backbone_lr: float = Field(1.0e-4, ge=0, description="peak learning rate of the backbone, for one part")
    head_lr: list[Annotated[float, Field(ge=0)]] = Field(
        [2.0e-3],
        min_length=1,
        description="peak learning rates of the heads, for one part; of several, all are tried and the one of the best "
        "mean validation accuracy of the heads is kept",
    )
    freeze_stem: bool = Field(True, description="TSP trains with a frozen stem; a random start needs false")
    momentum: float = Field(0.9, ge=0, lt=1, description="of SGD")
    weight_decay: float = Field(0.005, ge=0, description="of SGD")
    warmup_epochs: float = Field(2.0, ge=0, description="linear warm-up, epochs")
    milestones: list[float] = Field([4.0, 6.0], description="epochs at which the rates decay")
    decay: float = Field(0.01, gt=0, le=1, description="factor of each decay")
    precision: Literal["float32", "bfloat16"] = Field(
        "float32", description="of the layers; bfloat16 is about twice as fast on recent GPUs; losses stay float32"
    )
    channels_last: bool = Field(True, description="channels beside each other in memory; faster on most devices")
    compile: bool = Field(False, description="torch.compile; pays for long runs, needs a C++ compiler")
    cache_gb: float = Field(
        0.0,
        ge=0,
        description="decoded frames kept in memory, up to this many GB; 0 decodes anew",
        json_schema_extra=MACHINE,
    )
    workers: int = Field(
        6, ge=0, description="processes that read clips; 0 reads in the training process", json_schema_extra=MACHINE
    )
    device: Device = device_field()

    @model_validator(mode="after")
    def _something_is_learned(self) -> Self:
        if self.action == self.alpha == self.beta == 0:
            raise ValueError("action, alpha and beta are all 0: there is nothing to learn")
        return self

    @model_validator(mode="after")
    def _parts_are_shared_evenly(self) -> Self:
        if self.replicas % self.processes:
            raise ValueError(f"processes {self.processes} must divide replicas {self.replicas}")
        return self

    @model_validator(mode="after")
    def _stem_has_learned(self) -> Self:
        if self.freeze_stem and self.initial_weights is None:
            raise ValueError("freeze_stem keeps a random stem as it is; give initial_weights, or freeze_stem: false")
        if self.keep_heads and self.initial_weights is None:
            raise ValueError("keep_heads: true needs initial_weights that have heads")
        return self

    save_every: int = Field(
        500, ge=1, description="steps after which the state is saved within an epoch too", json_schema_extra=MACHINE
    )
    seed: int = Field(0, description="of the initial weights, the sampling and the augmentation")
