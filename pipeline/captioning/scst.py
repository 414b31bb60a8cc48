"""Self-critical sequence training: captions that beat a baseline become more probable.

The baseline is the reward of the greedy caption (Rennie et al., 2017, as the paper has it), or the mean reward of the
other captions sampled for the same event (Luo, 2020, arXiv 2003.09971), which needs no greedy captions.

Training may use proposals instead of annotated times. As in the reference implementation of Wang et al. (2020), an
event draws one of the proposals that overlap it more than any other event; its own best proposal is always among them.
An event that no proposal overlaps keeps its annotated times.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from pipeline.captioning.base import Captioner
from pipeline.captioning.decoding import Greedy, Sampling
from pipeline.captioning.streams import EventBatch, EventSequence
from pipeline.datasets.tiou import tiou_densevid
from pipeline.datasets.vocabulary import EOS
from pipeline.evaluation.ragged import enumerate_cells
from pipeline.localization.proposals import Proposal

Reward = Callable[[Sequence[Sequence[int]], Sequence[str]], list[float]]
"""From captions (token ids, with EOS if they have one) and the sentences of their events to a reward for each."""


@dataclass(frozen=True)
class ScstStep:
    """Result of one step.

    Attributes:
        loss: the loss to minimise.
        sampled_reward: mean reward of the sampled captions.
        greedy_reward: mean reward of the greedy captions; None if they are not the baseline.
        captions: ids of the words of the sampled captions.
        unended_share: share of the sampled captions that have no EOS.
    """

    loss: Float[Tensor, ""]
    sampled_reward: float
    greedy_reward: float | None
    captions: list[list[int]]
    unended_share: float


def scst_step(
    captioner: Captioner,
    batch: EventBatch,
    sentences: Sequence[str],
    reward: Reward,
    *,
    temperature: float,
    baseline: Literal["greedy", "samples"] = "greedy",
    num_samples: int = 1,
) -> ScstStep:
    """Sample captions, compare their rewards with the baseline, and compute the loss.

    Args:
        captioner: samples are drawn in its present mode (with dropout in training mode), greedy captions without
            dropout.
        batch: the events.
        sentences: the sentence of each event.
        reward: rewards captions, given the sentences.
        temperature: softmax temperature of the samples.
        baseline: `greedy`, or `samples`: the mean reward of the event's other samples.
        num_samples: captions to sample for each event; the baseline `samples` needs at least 2.
    """
    sampled = captioner.generate(batch.repeat(num_samples), Sampling(temperature))
    rewards = torch.tensor(reward(sampled.token_ids(), [*sentences] * num_samples), dtype=torch.float64)
    rewards = rewards.view(num_samples, -1)
    greedy_reward = None
    if baseline == "greedy":
        greedy = captioner.generate(batch, Greedy())
        base = torch.tensor(reward(greedy.token_ids(), sentences), dtype=torch.float64)
        greedy_reward = base.expand_as(rewards).mean().item()
    else:
        base = leave_one_out_baseline(rewards)
    advantage = (rewards - base.expand_as(rewards)).flatten().to(sampled.log_probs)
    return ScstStep(
        policy_loss(sampled.log_probs, sampled.mask, advantage),
        rewards.mean().item(),
        greedy_reward,
        sampled.word_ids(),
        1 - (sampled.tokens == EOS).any(1).double().mean().item(),
    )


def leave_one_out_baseline(rewards: Float[Tensor, "samples events"]) -> Float[Tensor, "samples events"]:
    """Return, for each sample, the mean reward of the other samples of its event."""
    return (rewards.sum(0) - rewards) / (len(rewards) - 1)


def policy_loss(
    log_probs: Float[Tensor, "events words"],
    mask: Bool[Tensor, "events words"],
    advantage: Float[Tensor, " events"],
) -> Float[Tensor, ""]:
    """Return -sum(log p * advantage * mask) / sum(mask): all tokens of a caption share its advantage."""
    return -(log_probs * advantage[:, None] * mask).sum() / mask.sum()


class ProposalSampler:
    """Draws event sequences at the times of proposals.

    Args:
        sequences: annotated sequences.
        proposals: proposals by video.

    Attributes:
        num_unmatched: number of events that no proposal overlaps.
    """

    def __init__(self, sequences: Sequence[EventSequence], proposals: Mapping[str, Sequence[Proposal]]) -> None:
        self._sequences = sequences
        self._choices = [
            assign_proposals(
                np.array(sequence.times, np.float64).reshape(-1, 2),
                np.array([(one.start, one.end) for one in proposals.get(sequence.video, ())]).reshape(-1, 2),
            )
            for sequence in sequences
        ]
        self.num_unmatched = sum(len(choice) == 0 for choices in self._choices for choice in choices)
        if self.num_unmatched:
            logging.info("%d events overlap no proposal: training at their annotated times", self.num_unmatched)

    def draw(self, copies: int, generator: np.random.Generator) -> list[EventSequence]:
        """Return `copies` versions of each sequence, one after the other, with a drawn proposal for each event."""
        return [
            _draw_times(sequence, choices, generator)
            for sequence, choices in zip(self._sequences, self._choices, strict=True)
            for _ in range(copies)
        ]


def assign_proposals(
    events: Float[np.ndarray, "segments 2"], proposals: Float[np.ndarray, "proposals 2"]
) -> list[Float[np.ndarray, "_ 2"]]:
    """Return the proposals of each event: those that overlap it most of all events, and its own best proposal.

    Of equal overlaps, the earlier event or the earlier proposal counts.

    Args:
        events: start and end [s].
        proposals: start and end [s].
    """
    _, event_index, proposal_index = enumerate_cells(np.array([len(events)]), np.array([len(proposals)]))
    tiou = tiou_densevid(events[event_index], proposals[proposal_index]).reshape(len(events), len(proposals))
    is_assigned = np.zeros(tiou.shape, bool)
    if tiou.size:
        is_assigned[tiou.argmax(0), np.arange(len(proposals))] = True
        is_assigned[np.arange(len(events)), tiou.argmax(1)] = True
    return [proposals[row] for row in is_assigned & (tiou > 0)]


def _draw_times(
    sequence: EventSequence, choices: Sequence[Float[np.ndarray, "_ 2"]], generator: np.random.Generator
) -> EventSequence:
    events = [
        (tuple(choice[generator.integers(len(choice))].tolist()) if len(choice) else times, sentence)
        for times, sentence, choice in zip(sequence.times, sequence.sentences, choices, strict=True)
    ]
    events.sort()  # events are captioned in time order
    return EventSequence(sequence.video, tuple(times for times, _ in events), tuple(sentence for _, sentence in events))
