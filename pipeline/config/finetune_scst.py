"""Section `finetune_scst`: one section for all captioners (section 2: on the enlarged training set)."""

from typing import Literal

from pydantic import Field

from pipeline.config.base import Section, steps_field


class FinetuneScst(Section):
    """Self-critical sequence training with METEOR as reward, from the weights of `train_captioner`."""

    epochs: int = Field(40, ge=1, description="passes over the enlarged training set")
    steps_per_epoch: int | None = steps_field()
    batch_videos: int = Field(1, ge=1, description="videos per step, all their events each")
    lr: float = Field(3.0e-5, gt=0, description="of Adam")
    lr_decay: float = Field(0.8, gt=0, le=1, description="factor on the rate ...")
    lr_decay_every: int = Field(4, ge=1, description="... every this many epochs")
    clip_gradient: float = Field(100.0, gt=0, description="gradients are cut to this absolute value")
    temperature: float = Field(1.0, gt=0, description="of the sampled captions")
    selection: Literal["meteor", "last"] = Field(
        "meteor", description="which epoch is kept: best METEOR on the split `val`, or the last"
    )
    evaluate_every: int = Field(1, ge=1, description="epochs between two looks at `val`")
    cache_gb: float = Field(
        4.0, ge=0, description="clip features kept in memory, up to this many GB; the rest is reread"
    )
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="auto takes a GPU if there is one")
