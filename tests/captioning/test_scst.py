"""Self-critical training, with captioners so small that the right result is known."""

from collections.abc import Callable, Sequence

import pytest
import torch
from helpers.captioners import event_lstm, make_batch

from pipeline.captioning.base import Captioner
from pipeline.captioning.decoding import Greedy, Sampling
from pipeline.captioning.scst import Reward, leave_one_out_baseline, policy_loss, scst_step
from pipeline.datasets.vocabulary import EOS

GOOD, BAD, OTHER = 2, 3, 4


def captioner_of_three_words(max_words: int) -> Captioner:
    """A captioner without context: the events of a video are alike, and captioned at once."""
    return event_lstm(num_ids=5, max_words=max_words, context=False, seed=0)


def reward_of(reward: Callable[[Sequence[int]], float]) -> Reward:
    """A reward that depends on the caption alone, its EOS included."""
    return lambda captions, _: [reward(list(caption)) for caption in captions]


good_reward = reward_of(lambda caption: float(caption in ([GOOD], [GOOD, EOS])))


def test_policy_loss_is_the_published_one() -> None:
    log_probs = torch.tensor([[-1.0, -2.0], [-3.0, 0.0]])
    mask = torch.tensor([[True, True], [True, False]])
    advantage = torch.tensor([0.5, -1.0])
    assert policy_loss(log_probs, mask, advantage).item() == pytest.approx(-(0.5 * -3 - 1.0 * -3) / 3)


def test_policy_loss_raises_captions_above_the_baseline() -> None:
    log_probs = torch.tensor([[-1.0, -1.0], [-1.0, -1.0]], requires_grad=True)
    policy_loss(log_probs, torch.ones(2, 2, dtype=torch.bool), torch.tensor([0.4, -0.4])).backward()
    assert log_probs.grad is not None
    assert (log_probs.grad[0] < 0).all()
    assert (log_probs.grad[1] > 0).all()


@pytest.mark.parametrize("baseline", [0.0, 0.3])
def test_policy_loss_has_the_gradient_of_the_expected_reward(baseline: float) -> None:
    """d E[r] / d logit_j = p_j (r_j - E[r]), whatever the baseline; samples are as frequent as probable."""
    probs, rewards = torch.tensor([0.5, 0.25, 0.25]), torch.tensor([0.2, 1.0, 0.4])
    logits = probs.log().requires_grad_()
    sampled = torch.tensor([0, 0, 1, 2])
    log_probs = logits.log_softmax(0)[sampled][:, None]
    policy_loss(log_probs, torch.ones(4, 1, dtype=torch.bool), rewards[sampled] - baseline).backward()
    assert logits.grad is not None
    expected = probs * (rewards - (probs * rewards).sum())
    torch.testing.assert_close(-logits.grad, expected)
    assert torch.equal(logits.grad < 0, torch.tensor([False, True, False])), "only the best word becomes more probable"


SCHEMES = [
    {"baseline": "greedy"},
    {"baseline": "greedy", "num_samples": 3},
    {"baseline": "samples", "num_samples": 4},
]


@pytest.mark.parametrize("scheme", SCHEMES)
def test_scst_step_makes_the_better_word_more_probable(scheme: dict) -> None:
    rewards = {GOOD: 1.0, OTHER: 0.5, BAD: 0.0}
    captioner, batch = captioner_of_three_words(1), make_batch([3] * 64, [[(0, 3)]] * 64)
    before = first_word_probs(captioner)
    optimizer = torch.optim.SGD(captioner.parameters(), lr=0.1)
    for _ in range(5):
        optimizer.zero_grad()
        reward = reward_of(lambda caption: rewards[caption[0]])
        scst_step(captioner, batch, [""] * 64, reward, temperature=1.0, **scheme).loss.backward()
        optimizer.step()
    after = first_word_probs(captioner)
    assert after[GOOD] > before[GOOD]
    assert after[BAD] < before[BAD]


def first_word_probs(captioner: Captioner) -> dict[int, float]:
    """The probabilities of the first words in 64 samples."""
    with torch.no_grad():
        sampled = captioner.generate(make_batch([3] * 64, [[(0, 3)]] * 64), Sampling(1.0))
    return dict(zip(sampled.tokens[:, 0].tolist(), sampled.log_probs[:, 0].exp().tolist(), strict=True))


@pytest.mark.parametrize("scheme", SCHEMES)
def test_scst_step_repeated_raises_the_reward(scheme: dict) -> None:
    captioner, batch = captioner_of_three_words(4), make_batch([4] * 16, [[(0, 2), (2, 4)]] * 16)
    optimizer = torch.optim.Adam(captioner.parameters(), lr=0.01)
    torch.manual_seed(3)
    rewards = []
    for _ in range(40):
        step = scst_step(captioner, batch, [""] * 32, good_reward, temperature=1.0, **scheme)
        rewards.append(step.sampled_reward)
        optimizer.zero_grad()
        step.loss.backward()
        optimizer.step()
    assert sum(rewards[:5]) / 5 < 0.3
    assert sum(rewards[-5:]) / 5 > 0.9
    assert captioner.generate(batch, Greedy()).word_ids() == [[GOOD]] * 32


@pytest.mark.parametrize("scheme", SCHEMES)
def test_scst_step_has_no_gradient_if_all_rewards_are_equal(scheme: dict) -> None:
    captioner, batch = captioner_of_three_words(3), make_batch([4], [[(0, 4)] * 3])
    scst_step(captioner, batch, [""] * 3, reward_of(lambda _: 0.7), temperature=1.0, **scheme).loss.backward()
    # Three times 0.7 divided by 3 is not quite 0.7.
    assert all(parameter.grad is None or parameter.grad.abs().max() < 1e-12 for parameter in captioner.parameters())


def test_scst_step_rewards_samples_and_greedy_captions_with_the_sentences_of_their_events() -> None:
    captioner, batch = captioner_of_three_words(3), make_batch([4], [[(0, 2), (2, 4)]])
    calls = []

    def reward(captions: Sequence[Sequence[int]], sentences: Sequence[str]) -> list[float]:
        calls.append((list(captions), list(sentences)))
        return [0.1 * (len(calls) + index) for index in range(len(captions))]

    step = scst_step(captioner, batch, ["one", "two"], reward, temperature=1.0, num_samples=2)
    sampled, greedy = calls
    assert sampled[1] == ["one", "two", "one", "two"]
    assert greedy == (captioner.generate(batch, Greedy()).token_ids(), ["one", "two"])
    assert [[word for word in caption if word != EOS] for caption in sampled[0]] == step.captions
    assert step.sampled_reward == pytest.approx(0.25)
    assert step.greedy_reward == pytest.approx(0.25)


def test_token_ids_include_the_eos_of_captions_that_have_one() -> None:
    captioner, batch = captioner_of_three_words(3), make_batch([4] * 40, [[(0, 4)]] * 40)
    torch.manual_seed(0)
    sampled = captioner.generate(batch, Sampling(1.0))
    captions = sampled.token_ids()
    assert {caption[-1] == EOS for caption in captions} == {True, False}
    assert all(len(caption) == 3 for caption in captions if caption[-1] != EOS)
    assert [[word for word in caption if word != EOS] for caption in captions] == sampled.word_ids()
    step = scst_step(captioner, batch, [""] * 40, good_reward, temperature=1.0)
    assert 0 < step.unended_share < 1


def test_leave_one_out_baseline_is_the_mean_of_the_other_samples() -> None:
    rewards = torch.tensor([[0.0, 1.0], [0.3, 1.0], [0.9, 0.4]], dtype=torch.float64)
    expected = torch.tensor([[0.6, 0.7], [0.45, 0.7], [0.15, 1.0]], dtype=torch.float64)
    torch.testing.assert_close(leave_one_out_baseline(rewards), expected)
