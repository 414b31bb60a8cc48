"""Self-critical training, in worlds small enough to know what is right."""

from collections.abc import Sequence

import pytest
import torch
from test_captioner_model import batch_of

from pipeline.captioners.decode import greedy
from pipeline.captioners.model import Architecture, Captioner
from pipeline.captioners.scst import policy_loss, self_critical

GOOD, BAD, OTHER = 2, 3, 4


def world(max_words: int) -> Captioner:
    """A captioner with three words."""
    torch.manual_seed(0)
    return Captioner(Architecture(5, 16, 5, max_words, 0.0))


def says_good(captions: Sequence[Sequence[int]], sentences: Sequence[str]) -> list[float]:
    return [1.0 if list(caption) == [GOOD] else 0.0 for caption in captions]


def test_the_loss_is_the_published_one() -> None:
    log_probs = torch.tensor([[-1.0, -2.0], [-3.0, 0.0]])
    mask = torch.tensor([[True, True], [True, False]])
    advantage = torch.tensor([0.5, -1.0])
    assert policy_loss(log_probs, mask, advantage).item() == pytest.approx(-(0.5 * -3 - 1.0 * -3) / 3)


def test_what_beats_the_greedy_caption_becomes_likelier() -> None:
    log_probs = torch.tensor([[-1.0, -1.0], [-1.0, -1.0]], requires_grad=True)
    policy_loss(log_probs, torch.ones(2, 2, dtype=torch.bool), torch.tensor([0.4, -0.4])).backward()
    assert log_probs.grad is not None
    assert (log_probs.grad[0] < 0).all(), "a step against the gradient raises a praised caption"
    assert (log_probs.grad[1] > 0).all()


def test_a_step_towards_the_better_word() -> None:
    model, batch = world(1), batch_of([3], [[(0, 3)] * 64])
    before = probability(model, GOOD)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(5):
        optimizer.zero_grad()
        self_critical(model, batch, [""] * 64, says_good, 1.0).loss.backward()
        optimizer.step()
    assert probability(model, GOOD) > before


def probability(model: Captioner, word: int) -> float:
    return model(batch_of([3], [[(0, 3)]]), torch.tensor([[word]]))[0, 0, word].exp().item()


def test_the_reward_rises() -> None:
    model, batch = world(4), batch_of([4], [[(0, 2), (2, 4)] * 16])
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    torch.manual_seed(3)
    rewards = []
    for _ in range(60):
        step = self_critical(model, batch, [""] * 32, says_good, 1.0)
        rewards.append(sum(step.sampled) / 32)
        optimizer.zero_grad()
        step.loss.backward()
        optimizer.step()
    assert sum(rewards[:5]) / 5 < 0.3
    assert sum(rewards[-5:]) / 5 > 0.9
    assert greedy(model, batch).ids() == [[GOOD]] * 32


def test_equal_rewards_teach_nothing() -> None:
    model, batch = world(3), batch_of([4], [[(0, 4)] * 3])
    self_critical(model, batch, [""] * 3, lambda captions, _: [0.7] * len(captions), 1.0).loss.backward()
    assert all(parameter.grad is None or parameter.grad.abs().max() == 0 for parameter in model.parameters())


def test_one_call_asks_for_samples_and_greedy_captions_with_their_sentences() -> None:
    model, batch = world(3), batch_of([4], [[(0, 2), (2, 4)]])
    calls = []

    def reward(captions: Sequence[Sequence[int]], sentences: Sequence[str]) -> list[float]:
        calls.append((list(captions), list(sentences)))
        return [0.1, 0.2, 0.3, 0.4]

    step = self_critical(model, batch, ["one", "two"], reward, 1.0)
    [(captions, sentences)] = calls
    assert captions[2:] == greedy(model, batch).ids()
    assert captions[:2] == step.captions
    assert sentences == ["one", "two", "one", "two"]
    assert (step.sampled, step.baseline) == ([0.1, 0.2], [0.3, 0.4])
