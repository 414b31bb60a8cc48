"""Self-critical sequence training (Rennie et al., 2017): praise for what beats the greedy caption."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from jaxtyping import Bool, Float
from torch import Tensor

from pipeline.captioners.data import Batch
from pipeline.captioners.decode import greedy, sample
from pipeline.captioners.model import Captioner

Reward = Callable[[Sequence[Sequence[int]], Sequence[str]], list[float]]
"""From captions (ids of their words) and the sentences of their events to a reward for each."""


@dataclass(frozen=True)
class SelfCritical:
    """One step.

    Attributes:
        loss: to be minimised.
        sampled: reward of each event's sampled caption.
        baseline: reward of its greedy caption.
        captions: ids of the sampled captions' words.
    """

    loss: Float[Tensor, ""]
    sampled: list[float]
    baseline: list[float]
    captions: list[list[int]]


def self_critical(
    captioner: Captioner, batch: Batch, sentences: Sequence[str], reward: Reward, temperature: float
) -> SelfCritical:
    """Draw captions, compare them with greedy ones, and give the loss; all rewards are asked for in one call.

    A caption that reached the greatest length is rewarded for its words, but has no END that could be
    praised.

    Args:
        captioner: samples are drawn with it as it is (with dropout in training mode), greedy ones without
            dropout.
        batch: the events.
        sentences: of the events.
        reward: of a caption, given the sentence.
        temperature: of the samples.
    """
    drawn = sample(captioner, batch, temperature)
    captions = drawn.ids()
    rewards = reward(captions + greedy(captioner, batch).ids(), [*sentences, *sentences])
    sampled, baseline = rewards[: len(captions)], rewards[len(captions) :]
    advantage = drawn.log_probs.new_tensor(sampled) - drawn.log_probs.new_tensor(baseline)
    return SelfCritical(policy_loss(drawn.log_probs, drawn.mask, advantage), sampled, baseline, captions)


def policy_loss(
    log_probs: Float[Tensor, "events words"],
    mask: Bool[Tensor, "events words"],
    advantage: Float[Tensor, " events"],
) -> Float[Tensor, ""]:
    """-sum(log p * advantage * mask) / sum(mask): every word of a caption shares the caption's advantage."""
    return -(log_probs * advantage[:, None] * mask).sum() / mask.sum()
