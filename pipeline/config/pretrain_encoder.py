"""Section `pretrain_encoder`: one entry per encoder (TSP, section 4; SA-TSP, sections 1.1 and 1.4)."""

from typing import Literal, Self

from pydantic import Field, model_validator

from pipeline.config.base import Section
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
    """Pretraining of one encoder: L = action + alpha region + beta semantic (equation 1)."""

    architecture: Literal["r2plus1d_34", "r2plus1d_18", "r3d_18", "r2plus1d_narrow"] = Field(
        "r2plus1d_34", description="the clip encoder"
    )
    initial_weights: str | None = Field(
        "weights/r2plus1d_34_clip8_ft_kinetics_from_ig65m-0aa0550b.pth",
        description="file to start from (.safetensors, or .pth read without executing anything); null: random",
    )
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
    alpha: float = Field(1.0, ge=0, description="weight of the temporal region loss; 0 leaves its head out")
    beta: float = Field(0.1, ge=0, description="weight of the semantic concept loss; 0 leaves its head out (plain TSP)")
    semantic_loss: AsymmetricLoss = Field(AsymmetricLoss(), description="the loss of the concepts")
    epochs: int = Field(8, ge=0, description="passes over the clips; 0: the encoder as it begins")
    batch_size: int = Field(32, ge=1, description="clips per step")
    backbone_lr: float = Field(1.0e-4, ge=0, description="peak learning rate of the backbone")
    head_lr: float = Field(2.0e-3, ge=0, description="peak learning rate of the heads")
    freeze_stem: bool = Field(True, description="TSP trains with a frozen stem; a random start needs false")
    momentum: float = Field(0.9, ge=0, lt=1, description="of SGD")
    weight_decay: float = Field(0.005, ge=0, description="of SGD")
    warmup_epochs: float = Field(2.0, ge=0, description="linear warm-up, epochs")
    milestones: list[float] = Field([4.0, 6.0], description="epochs at which the rates decay")
    decay: float = Field(0.01, gt=0, le=1, description="factor of each decay")
    cache_gb: float = Field(0.0, ge=0, description="decoded frames kept in memory, up to this many GB; 0 decodes anew")
    workers: int = Field(6, ge=0, description="processes that read clips; 0 reads in the training process")
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="auto takes a GPU if there is one")

    @model_validator(mode="after")
    def _stem_has_learned(self) -> Self:
        if self.freeze_stem and self.initial_weights is None:
            raise ValueError("freeze_stem keeps a random stem as it is; give initial_weights, or freeze_stem: false")
        return self

    seed: int = Field(0, description="of the initial weights, the sampling and the augmentation")
