"""Self-critical training, in worlds small enough to know what is right."""

from collections.abc import Callable, Sequence

import pytest
import torch
from test_event_captioner import batch_of

from pipeline.captioning.data import Batch
from pipeline.captioning.decoding import greedy, sample
from pipeline.captioning.event_captioner import Architecture, Captioner
from pipeline.captioning.scst import Reward, of_others, policy_loss, repeated, said, self_critical
from pipeline.datasets.vocabulary import END

GOOD, BAD, OTHER = 2, 3, 4


def world(max_words: int, *, context: bool = False) -> Captioner:
    """A captioner with three words; without context the events of a video are alike, and worded at once."""
    torch.manual_seed(0)
    return Captioner(Architecture(5, 16, 5, max_words, 0.0, context=context))


def at_once(reward: Callable[[Sequence[int]], float]) -> Reward:
    """Rewards that depend on the caption alone, its END included."""
    return lambda captions, _: lambda: [reward(list(caption)) for caption in captions]


says_good = at_once(lambda caption: float(caption in ([GOOD], [GOOD, END])))


def test_the_loss_is_the_published_one() -> None:
    log_probs = torch.tensor([[-1.0, -2.0], [-3.0, 0.0]])
    mask = torch.tensor([[True, True], [True, False]])
    advantage = torch.tensor([0.5, -1.0])
    assert policy_loss(log_probs, mask, advantage).item() == pytest.approx(-(0.5 * -3 - 1.0 * -3) / 3)


def test_what_beats_the_baseline_becomes_likelier() -> None:
    log_probs = torch.tensor([[-1.0, -1.0], [-1.0, -1.0]], requires_grad=True)
    policy_loss(log_probs, torch.ones(2, 2, dtype=torch.bool), torch.tensor([0.4, -0.4])).backward()
    assert log_probs.grad is not None
    assert (log_probs.grad[0] < 0).all(), "a step against the gradient raises a praised caption"
    assert (log_probs.grad[1] > 0).all()


@pytest.mark.parametrize("baseline", [0.0, 0.3])
def test_in_a_world_of_three_words_the_gradient_is_that_of_the_expected_reward(baseline: float) -> None:
    """d E[r] / d logit_j = p_j (r_j - E[r]), whatever the baseline; the samples are as frequent as they are likely."""
    likely, worth = torch.tensor([0.5, 0.25, 0.25]), torch.tensor([0.2, 1.0, 0.4])
    logits = likely.log().requires_grad_()
    drawn = torch.tensor([0, 0, 1, 2])
    log_probs = logits.log_softmax(0)[drawn][:, None]
    policy_loss(log_probs, torch.ones(4, 1, dtype=torch.bool), worth[drawn] - baseline).backward()
    assert logits.grad is not None
    expected = likely * (worth - (likely * worth).sum())
    torch.testing.assert_close(-logits.grad, expected)
    assert torch.equal(logits.grad < 0, torch.tensor([False, True, False])), "only the best word is to be likelier"


SCHEMES = [{"baseline": "greedy"}, {"baseline": "greedy", "samples": 3}, {"baseline": "samples", "samples": 4}]


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_step_towards_the_better_word(scheme: dict) -> None:
    worth = {GOOD: 1.0, OTHER: 0.5, BAD: 0.0}
    model, batch = world(1), batch_of([3] * 64, [[(0, 3)]] * 64)
    before = probabilities(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(5):
        optimizer.zero_grad()
        reward = at_once(lambda caption: worth[caption[0]])
        self_critical(model, batch, [""] * 64, reward, temperature=1.0, **scheme).loss.backward()
        optimizer.step()
    after = probabilities(model)
    assert after[GOOD] > before[GOOD]
    assert after[BAD] < before[BAD]


def probabilities(model: Captioner) -> dict[int, float]:
    """Of the first words that are drawn in 64 draws."""
    with torch.no_grad():
        drawn = sample(model, batch_of([3] * 64, [[(0, 3)]] * 64), 1.0)
    first = zip(drawn.words[:, 0].tolist(), drawn.log_probs[:, 0].exp().tolist(), strict=True)
    return dict(first)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_reward_rises(scheme: dict) -> None:
    model, batch = world(4), batch_of([4] * 16, [[(0, 2), (2, 4)]] * 16)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    torch.manual_seed(3)
    rewards = []
    for _ in range(40):
        step = self_critical(model, batch, [""] * 32, says_good, temperature=1.0, **scheme)
        rewards.append(step.sampled)
        optimizer.zero_grad()
        step.loss.backward()
        optimizer.step()
    assert sum(rewards[:5]) / 5 < 0.3
    assert sum(rewards[-5:]) / 5 > 0.9
    assert greedy(model, batch).ids() == [[GOOD]] * 32


@pytest.mark.parametrize("scheme", SCHEMES)
def test_equal_rewards_teach_nothing(scheme: dict) -> None:
    model, batch = world(3), batch_of([4], [[(0, 4)] * 3])
    self_critical(model, batch, [""] * 3, at_once(lambda _: 0.7), temperature=1.0, **scheme).loss.backward()
    # Three times 0.7 divided by 3 is not quite 0.7.
    assert all(parameter.grad is None or parameter.grad.abs().max() < 1e-12 for parameter in model.parameters())


def test_samples_are_asked_for_before_the_greedy_captions_are_made(monkeypatch: pytest.MonkeyPatch) -> None:
    model, batch = world(3), batch_of([4], [[(0, 2), (2, 4)]])
    order: list[str] = []
    calls = []

    def decode(captioner: Captioner, batch: Batch) -> object:
        order.append("greedy")
        return greedy(captioner, batch)

    def reward(captions: Sequence[Sequence[int]], sentences: Sequence[str]) -> Callable[[], list[float]]:
        calls.append((list(captions), list(sentences)))
        order.append("asked")
        return lambda: order.append("waited") or [0.1 * (len(calls) + index) for index in range(len(captions))]

    monkeypatch.setattr("pipeline.captioning.scst.greedy", decode)
    step = self_critical(model, batch, ["one", "two"], reward, temperature=1.0, samples=2)
    assert order == ["asked", "greedy", "asked", "waited", "waited"]
    assert calls[1] == (said(greedy(model, batch)), ["one", "two"])
    assert calls[0][1] == ["one", "two", "one", "two"]
    assert [[word for word in caption if word != END] for caption in calls[0][0]] == step.captions


def test_captions_carry_their_end_if_they_have_one() -> None:
    model, batch = world(3), batch_of([4] * 40, [[(0, 4)]] * 40)
    torch.manual_seed(0)
    drawn = sample(model, batch, 1.0)
    captions = said(drawn)
    assert {caption[-1] == END for caption in captions} == {True, False}
    assert all(len(caption) == 3 for caption in captions if caption[-1] != END)
    assert [[word for word in caption if word != END] for caption in captions] == drawn.ids()
    step = self_critical(model, batch, [""] * 40, says_good, temperature=1.0)
    assert 0 < step.unended < 1


def test_the_baseline_of_samples_is_the_mean_of_the_others() -> None:
    rewards = torch.tensor([[0.0, 1.0], [0.3, 1.0], [0.9, 0.4]], dtype=torch.float64)
    expected = torch.tensor([[0.6, 0.7], [0.45, 0.7], [0.15, 1.0]], dtype=torch.float64)
    torch.testing.assert_close(of_others(rewards), expected)


def test_copies_of_a_batch_know_nothing_of_each_other() -> None:
    model, batch = world(4, context=True).eval(), batch_of([4, 6], [[(0, 2), (2, 4)], [(1, 5)]])
    alone, several = greedy(model, batch), greedy(model, repeated(batch, 3))
    assert several.ids() == alone.ids() * 3
    torch.testing.assert_close(several.log_probs, alone.log_probs.repeat(3, 1))
