"""Self-critical sequence training: praise for captions that beat a baseline.

The baseline is the greedy caption (Rennie et al., 2017, as published), or the mean of the other captions that were
drawn for the same event (Luo, 2020, arXiv 2003.09971), which needs no greedy ones.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from pipeline.captioning.data import Batch
from pipeline.captioning.decoding import Captions, greedy, sample
from pipeline.captioning.event_captioner import Captioner
from pipeline.datasets.vocabulary import END

Reward = Callable[[Sequence[Sequence[int]], Sequence[str]], Callable[[], list[float]]]
"""From captions (ids, END included) and the sentences of their events to what waits for a reward for each."""


@dataclass(frozen=True)
class SelfCritical:
    """One step.

    Attributes:
        loss: to be minimised.
        sampled: mean reward of the sampled captions.
        greedy: that of the greedy ones, where they are the baseline.
        captions: ids of the sampled captions' words.
        unended: share of them that reached the greatest length without an end.
    """

    loss: Float[Tensor, ""]
    sampled: float
    greedy: float | None
    captions: list[list[int]]
    unended: float


def self_critical(
    captioner: Captioner,
    batch: Batch,
    sentences: Sequence[str],
    reward: Reward,
    *,
    temperature: float,
    baseline: Literal["greedy", "samples"] = "greedy",
    samples: int = 1,
) -> SelfCritical:
    """Draw captions, compare them with the baseline, and give the loss.

    Whoever computes rewards has the samples while the greedy captions are still being decoded.

    Args:
        captioner: samples are drawn with it as it is (with dropout in training mode), greedy ones without
            dropout.
        batch: the events.
        sentences: of the events.
        reward: of captions, given the sentences.
        temperature: of the samples.
        baseline: `greedy`, or `samples`: the mean of an event's other samples.
        samples: drawn of each event; at least 2 where they are each other's baseline.
    """
    drawn = sample(captioner, repeated(batch, samples), temperature)
    asked = reward(said(drawn), [*sentences] * samples)
    compared = reward(said(greedy(captioner, batch)), sentences) if baseline == "greedy" else None
    rewards = torch.tensor(asked(), dtype=torch.float64).view(samples, -1)
    base = torch.tensor(compared(), dtype=torch.float64).expand_as(rewards) if compared else of_others(rewards)
    advantage = (rewards - base).flatten().to(drawn.log_probs)
    return SelfCritical(
        policy_loss(drawn.log_probs, drawn.mask, advantage),
        rewards.mean().item(),
        base.mean().item() if compared else None,
        drawn.ids(),
        1 - (drawn.words == END).any(1).double().mean().item(),
    )


def repeated(batch: Batch, times: int) -> Batch:
    """A batch with all of its sequences several times, one round after the other; copies know nothing of each other."""
    if times == 1:
        return batch
    rounds = torch.arange(times, device=batch.sequence.device)[:, None] * len(batch.clips)
    return replace(
        batch,
        clips=batch.clips.repeat(times, 1, 1),
        sequence=(batch.sequence + rounds).flatten(),
        rows=batch.rows.repeat(times, 1),
        spans=batch.spans.repeat(times, 1),
    )


def said(captions: Captions) -> list[list[int]]:
    """Ids of each caption, its END included if it has one."""
    lengths = captions.mask.sum(1).tolist()
    return [row[:length] for row, length in zip(captions.words.tolist(), lengths, strict=True)]


def of_others(rewards: Float[Tensor, "samples events"]) -> Float[Tensor, "samples events"]:
    """For each sample the mean reward of the other samples of its event."""
    return (rewards.sum(0) - rewards) / (len(rewards) - 1)


def policy_loss(
    log_probs: Float[Tensor, "events words"],
    mask: Bool[Tensor, "events words"],
    advantage: Float[Tensor, " events"],
) -> Float[Tensor, ""]:
    """-sum(log p * advantage * mask) / sum(mask): every word of a caption shares the caption's advantage."""
    return -(log_probs * advantage[:, None] * mask).sum() / mask.sum()
