"""Section `finetune_scst`: one section for all captioners (section 2 of the paper: on the enlarged training set)."""

from typing import Literal, Self

from pydantic import Field, model_validator

from pipeline.config.base import Section
from pipeline.config.training import CaptionerTrainingSettings, lr_field


class RewardWeights(Section):
    """The reward of a caption: a weighted sum of metrics."""

    meteor: float = Field(1.0, ge=0, description="weight of METEOR, from 0 to 1 (the paper's reward)")
    cider_d: float = Field(
        0.0, ge=0, description="weight of CIDEr-D, from 0 to 10, with the document frequencies of the training captions"
    )

    @model_validator(mode="after")
    def _is_not_zero(self) -> Self:
        if not (self.meteor or self.cider_d):
            raise ValueError("all reward weights are 0")
        return self


class FinetuneScst(CaptionerTrainingSettings):
    """Self-critical sequence training, starting from the weights of `train_captioner`."""

    splits: list[Literal["train", "enlarged"]] = Field(
        ["train", "enlarged"],
        min_length=1,
        description="splits to train on; the paper's is the enlarged set (section 2)",
    )
    proposals: str = Field(
        "gt",
        min_length=1,
        description="event times to train on: `gt` (annotated), or an entry of `propose_events`, matched to the events",
    )
    event_sequences: int = Field(
        24, ge=1, description="event sequences to draw from the proposals, per video and step (`gt` has one)"
    )
    baseline: Literal["greedy", "samples"] = Field(
        "greedy",
        description="baseline of the reward: the greedy caption, as published, or the mean of the event's other "
        "samples (Luo, 2020, arXiv 2003.09971)",
    )
    samples: int = Field(
        1, ge=1, description="number of sampled captions per event; the baseline `samples` needs 2 or more"
    )
    reward: RewardWeights = Field(RewardWeights(), description="weights of the metrics in the reward")
    reward_strings: Literal["words", "indices"] = Field(
        "words",
        description="what the metrics compare: `words` (METEOR with stems and synonyms), or `indices` (exact token "
        "match, as in the reference implementation)",
    )
    lr: float = lr_field(3.0e-5)
    lr_decay: float = Field(0.8, gt=0, le=1, description="factor of the learning rate at each decay")
    lr_decay_every: int = Field(4, ge=1, description="epochs between two decays of the learning rate")
    temperature: float = Field(1.0, gt=0, description="softmax temperature of the sampled captions")

    def learning_rate(self, epoch: int) -> float:
        """Return the learning rate of an epoch, counted from 1."""
        return self.lr * self.lr_decay ** ((epoch - 1) // self.lr_decay_every)

    @model_validator(mode="after")
    def _samples_suffice(self) -> Self:
        if self.baseline == "samples" and self.samples < 2:
            raise ValueError("the baseline `samples` needs samples: 2 or more")
        return self
