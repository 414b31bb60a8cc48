"""Section `train_captioner`: one entry per captioner (section 1.4)."""

from typing import Literal

from pydantic import Field

from pipeline.config.base import Device, Section, cache_field, device_field, steps_field
from pipeline.config.combination import Align, Missing, align_field, missing_field


class TrainCaptioner(Section):
    """Cross-entropy training of one event captioner."""

    architecture: str = Field(
        "events", min_length=1, description="the captioner, by its name in `pipeline.captioning.registry`"
    )
    features: list[str] = Field(min_length=1, description="entries of `extract_features`, concatenated along channels")
    splits: list[Literal["train", "enlarged"]] = Field(
        ["train"], min_length=1, description="whose videos it learns from; `enlarged` is the paper's part of validation"
    )
    align: Align = align_field()
    missing: Missing = missing_field()
    relations: bool = Field(True, description="events know of the other events of their video (false: ablation)")
    context: bool = Field(
        True, description="captions know of those before them (false: ablation; all events are worded at once)"
    )
    hidden: int = Field(512, ge=1, description="size of all hidden layers")
    dropout: float = Field(0.5, ge=0, lt=1, description="on events, what they take from others, and the output")
    max_words: int = Field(28, ge=1, description="captions are cut to this many words")
    epochs: int = Field(40, ge=1, description="at most this many passes over the training videos")
    steps_per_epoch: int | None = steps_field()
    batch_videos: int = Field(1, ge=1, description="videos per step, all their events each")
    lr: float = Field(1.0e-4, gt=0, description="of Adam")
    weight_decay: float = Field(0.0, ge=0, description="of Adam")
    clip_gradient: float = Field(100.0, gt=0, description="gradients are cut to this absolute value")
    scheduled_sampling: float = Field(
        0.0, ge=0, le=1, description="largest share of words that are read as the captioner draws them, not as written"
    )
    scheduled_sampling_epochs: int = Field(
        20, ge=1, description="the share rises in as many equal steps, from none in the first epoch"
    )
    selection: Literal["meteor", "last"] = Field(
        "meteor", description="which epoch is kept: best METEOR on the split `val`, or the last"
    )
    evaluate_every: int = Field(1, ge=1, description="epochs between two looks at `val`")
    self_critical: bool = Field(
        True, description="whether captions come from the captioner that `finetune_scst` makes of this one"
    )
    cache_gb: float = cache_field()
    device: Device = device_field()
