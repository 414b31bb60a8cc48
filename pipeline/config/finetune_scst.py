"""Section `finetune_scst`: one section for all captioners (section 2: on the enlarged training set)."""

from typing import Literal, Self

from pydantic import Field, model_validator

from pipeline.config.base import MACHINE, Device, Section, cache_field, device_field, steps_field


class Weights(Section):
    """What a caption is praised for: a weighted sum of metrics."""

    meteor: float = Field(1.0, ge=0, description="of METEOR, 0 to 1 (the paper's reward)")
    cider_d: float = Field(0.0, ge=0, description="of CIDEr-D, 0 to 10, n-grams weighed by the training captions")

    @model_validator(mode="after")
    def _something(self) -> Self:
        if not (self.meteor or self.cider_d):
            raise ValueError("all weights are 0: nothing would be praised")
        return self


class FinetuneScst(Section):
    """Self-critical sequence training from the weights of `train_captioner`."""

    epochs: int = Field(40, ge=1, description="passes over the training set")
    splits: list[Literal["train", "enlarged"]] = Field(
        ["train", "enlarged"], min_length=1, description="the training set; the paper's is enlarged (section 2)"
    )
    steps_per_epoch: int | None = steps_field()
    batch_videos: int = Field(1, ge=1, description="videos per step, all their events each")
    proposals: str = Field(
        "gt",
        min_length=1,
        description="times of the events: `gt`, as annotated, or an entry of `propose_events`, matched to them",
    )
    event_sequences: int = Field(
        24, ge=1, description="drawn from the proposals, for each video and step; with `gt` there is one"
    )
    baseline: Literal["greedy", "samples"] = Field(
        "greedy",
        description="what a sample has to beat: the greedy caption, as published, or the mean of the event's other "
        "samples (arXiv 2003.09971)",
    )
    samples: int = Field(1, ge=1, description="captions drawn of each event; at least 2 for the baseline `samples`")
    reward: Weights = Field(Weights(), description="weights of the metrics")
    reward_strings: Literal["words", "indices"] = Field(
        "words",
        description="what the metrics see: words, or the words' numbers, of which only equal ones match (the reference "
        "implementation)",
    )
    reward_workers: int = Field(1, ge=0, description="processes that compute rewards", json_schema_extra=MACHINE)
    lr: float = Field(3.0e-5, gt=0, description="of Adam")
    lr_decay: float = Field(0.8, gt=0, le=1, description="factor on the rate ...")
    lr_decay_every: int = Field(4, ge=1, description="... every this many epochs")
    clip_gradient: float = Field(100.0, gt=0, description="gradients are cut to this absolute value")
    temperature: float = Field(1.0, gt=0, description="of the sampled captions")
    selection: Literal["meteor", "last"] = Field(
        "meteor", description="which epoch is kept: best METEOR on the split `val`, or the last"
    )
    evaluate_every: int = Field(1, ge=1, description="epochs between two looks at `val`")
    cache_gb: float = cache_field()
    device: Device = device_field()

    @model_validator(mode="after")
    def _enough_samples(self) -> Self:
        if self.baseline == "samples" and self.samples < 2:
            raise ValueError("the baseline `samples` needs samples: 2 or more")
        return self
