"""What every captioner must do, whatever it is made of: the contract of `pipeline.captioning.base`.

The cases are all registered captioners, the event captioner's ablations, and two toys that share nothing with it.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch
from helpers.campaigns import quick_cases
from helpers.captioners import (
    NUM_IDS,
    ONE_STREAM,
    TOYS,
    TWO_STREAMS,
    make_batch,
    permute_events,
    random_captions,
    single_video,
    small_sizes,
    token_log_probs,
    videos,
    with_large_weights,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.captioning.attributes.attribute_list import AttributeList
from pipeline.captioning.base import Captioner, DecodingStrategy
from pipeline.captioning.bundle import METRICS, load_captioner, save_captioner
from pipeline.captioning.captions import UNCONSTRAINED, DecodingConstraints, cross_entropy, token_mask
from pipeline.captioning.decoding import BeamSearch, Greedy, Sampling
from pipeline.captioning.scst import scst_step
from pipeline.captioning.streams import EventBatch
from pipeline.config.captioners import CAPTIONERS
from pipeline.datasets.vocabulary import EOS, UNK
from pipeline.training.training_loop import BestCheckpoint, cpu_state_dict

LENGTHS, EVENTS = [5, 7, 1], [[(2, 5), (0, 2), (0, 5)], [(0, 7)], [(0, 1), (0, 1)]]


@dataclass(frozen=True)
class Case:
    """A captioner under test.

    Attributes:
        name: name in the registry, or of a toy.
        settings: settings other than the defaults.
        streams: streams of features.
    """

    name: str
    settings: dict[str, Any] = field(default_factory=dict)
    streams: dict[str, int] = field(default_factory=lambda: dict(ONE_STREAM))

    def build(self, *, num_ids: int = NUM_IDS, **overrides: Any) -> Captioner:
        spec = SPECS[self.name]
        torch.manual_seed(1)
        settings = spec.settings.model_validate(SMALL.get(self.name, {}) | self.settings | overrides)
        sizes = replace(small_sizes(self.streams, num_ids=num_ids), attributes=settings.num_attributes)
        return spec.load()(sizes, settings)

    def batch(
        self, lengths: Sequence[int] = LENGTHS, events: Sequence[Sequence[tuple[int, int]]] = EVENTS
    ) -> EventBatch:
        return make_batch(lengths, events, streams=self.streams)


SPECS = {**CAPTIONERS, **{spec.name: spec for spec in TOYS}}
SMALL: dict[str, dict[str, Any]] = {
    "event_lstm": {"hidden": 16, "dropout": 0.0},
    "bmt": {"hidden": 16, "embedding": 12, "layers": 1, "dropout": 0.0},
    "transformer": {"hidden": 16, "heads": 4, "dropout": 0.0, "attention_dropout": 0.0},
    "topdown": {"hidden": 16, "dropout": 0.0},
    "arb": {"hidden": 16, "heads": 4, "dropout": 0.0, "attention_dropout": 0.0},
    "nacf": {
        **{"hidden": 16, "heads": 4, "dropout": 0.0, "attention_dropout": 0.0},
        **{"template": False, "iterations": 1, "lengths": 1, "min_words": 1},
    },
}
STREAMS = {"bmt": TWO_STREAMS}
"""Streams of captioners that do not read one."""
CASES = {
    **{name: Case(name, streams=dict(STREAMS.get(name, ONE_STREAM))) for name in SPECS},
    "event_lstm without relations": Case("event_lstm", {"relations": False}),
    "event_lstm without context": Case("event_lstm", {"context": False}),
    "event_lstm without either": Case("event_lstm", {"relations": False, "context": False}),
    "toy_transformer on two streams": Case("toy_transformer", streams=dict(TWO_STREAMS)),
    "transformer on two streams": Case("transformer", streams=dict(TWO_STREAMS)),
    "transformer with attributes": Case("transformer", {"attributes": {"count": 3}}),
    "event_lstm with attributes": Case("event_lstm", {"attributes": {"count": 3}}),
}
REFINED = {
    "nacf that refines": Case("nacf", {"template": True, "iterations": 3, "lengths": 3, "min_words": 2}),
}
"""Captioners whose best caption is not that of a single pass."""
cases = pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
all_cases = pytest.mark.parametrize("case", [*CASES.values(), *REFINED.values()], ids=[*CASES, *REFINED])
WORD_BY_WORD = {name: case for name, case in CASES.items() if case.name != "nacf"}
"""Captioners that decide at each word whether the caption ends; NACF decides on the length first."""

STRATEGIES: dict[str, DecodingStrategy] = {
    "greedy": Greedy(),
    "beam": BeamSearch(3, 0.7),
    "sample": Sampling(1.5, torch.tensor([[0.5, 0.9, 0.1, 0.7, 0.99, 0.6, 0.3]]).expand(6, 7)),
}
strategies = pytest.mark.parametrize("strategy", STRATEGIES.values(), ids=STRATEGIES.keys())


@cases
@settings(max_examples=10)
@given(videos(), st.randoms(use_true_random=False))
def test_forward_of_an_event_depends_on_its_own_sequence_alone(
    case: Case, drawn: tuple[list[int], list[list[tuple[int, int]]]], random: Random
) -> None:
    lengths, events = drawn
    captioner, batch = with_large_weights(case.build()), case.batch(lengths, [sorted(set(rows)) for rows in events])
    tokens = random_captions(batch.num_events, 6)
    mask = token_mask(tokens)
    order = torch.tensor(random.sample(range(len(tokens)), len(tokens)))
    together = torch.empty(len(tokens), 6, NUM_IDS)
    together[order] = captioner(permute_events(batch, order), tokens[order])
    for sequence in range(len(lengths)):
        of_sequence = batch.sequence_index == sequence
        one = captioner(single_video(batch, sequence), tokens[of_sequence])
        torch.testing.assert_close(
            together[of_sequence][mask[of_sequence]], one[mask[of_sequence]], atol=1e-4, rtol=1e-4
        )


@all_cases
@strategies
def test_generate_of_an_event_depends_on_its_own_sequence_alone(case: Case, strategy: DecodingStrategy) -> None:
    captioner, batch = with_large_weights(case.build()), case.batch()
    constraints = DecodingConstraints((2, 3), 3)
    with torch.no_grad():
        together = captioner.generate(batch, strategy, constraints)
        for sequence in range(len(LENGTHS)):
            of_sequence = batch.sequence_index == sequence
            part = (
                Sampling(strategy.temperature, strategy.draws[of_sequence])
                if isinstance(strategy, Sampling)
                else strategy
            )
            one = captioner.generate(single_video(batch, sequence), part, constraints)
            num_words = one.tokens.shape[1]
            assert torch.equal(together.tokens[of_sequence][:, :num_words], one.tokens)
            torch.testing.assert_close(
                together.log_probs[of_sequence][:, :num_words], one.log_probs, atol=1e-4, rtol=1e-4
            )
            assert not together.mask[of_sequence][:, num_words:].any()


@all_cases
def test_padding_is_not_read(case: Case) -> None:
    captioner, batch = case.build().eval(), case.batch([3, 8], [[(0, 2), (2, 3)], [(1, 8)]])
    tokens = random_captions(3, 4)
    before = captioner(batch, tokens)
    for stream in batch.streams.values():
        stream.values[0, stream.lengths[0] :] = 1e6
    assert torch.equal(captioner(batch, tokens), before)


@cases
def test_tokens_after_eos_are_not_read(case: Case) -> None:
    captioner, batch = case.build().eval(), case.batch([6], [[(0, 2), (3, 4)]])
    one, other = torch.tensor([[2, EOS, EOS], [3, 4, EOS]]), torch.tensor([[2, EOS, 5], [3, 4, EOS]])
    mask = token_mask(one)
    torch.testing.assert_close(captioner(batch, one)[mask], captioner(batch, other)[mask])


@cases
def test_log_probs_are_normalized_and_exclude_unknown_words_and_empty_captions(case: Case) -> None:
    captioner, batch = case.build(), case.batch([4], [[(0, 4)]])
    log_probs = captioner(batch, torch.tensor([[2, 2, 2]]))
    torch.testing.assert_close(log_probs.exp().sum(2), torch.ones(1, 3))
    assert (log_probs[:, :, UNK] == -torch.inf).all()
    assert log_probs[0, 0, EOS] == -torch.inf
    assert log_probs[0, 1, EOS] > -torch.inf


@pytest.mark.parametrize("case", WORD_BY_WORD.values(), ids=WORD_BY_WORD.keys())
def test_greedy_tokens_are_the_most_probable_ones(case: Case) -> None:
    captioner, batch = case.build().eval(), case.batch()
    captions = captioner.generate(batch, Greedy())
    assert torch.equal(captioner(batch, captions.tokens).argmax(2)[captions.mask], captions.tokens[captions.mask])
    assert (captions.log_probs[~captions.mask] == 0).all()


@all_cases
@strategies
@pytest.mark.parametrize("constraints", [UNCONSTRAINED, DecodingConstraints((2, 3, 4), 3)], ids=str)
def test_captions_have_the_log_probs_of_forward(
    case: Case, strategy: DecodingStrategy, constraints: DecodingConstraints
) -> None:
    captioner, batch = with_large_weights(case.build()), case.batch()
    if isinstance(strategy, Sampling):
        strategy = Sampling(1.0, strategy.draws)
    with torch.no_grad():
        captions = captioner.generate(batch, strategy, constraints)
        expected = token_log_probs(captioner, batch, captions.tokens)
    torch.testing.assert_close(captions.log_probs[captions.mask], expected[captions.mask], atol=1e-4, rtol=1e-4)


@all_cases
@pytest.mark.parametrize("strategy", [Greedy(), BeamSearch(3, 1.0)], ids=["greedy", "beam"])
def test_best_captions_are_decoded_without_dropout_and_gradients(case: Case, strategy: DecodingStrategy) -> None:
    captioner, batch = case.build().train(), case.batch()
    for module in captioner.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.9
    first, second = (captioner.generate(batch, strategy) for _ in range(2))
    assert torch.equal(first.log_probs, second.log_probs)
    assert captioner.training
    assert not first.log_probs.requires_grad


@cases
@pytest.mark.parametrize("constraints", [UNCONSTRAINED, DecodingConstraints((2, 3, 4), 3)], ids=str)
def test_beam_search_of_width_one_is_greedy(case: Case, constraints: DecodingConstraints) -> None:
    captioner, batch = with_large_weights(case.build()), case.batch()
    beam = captioner.generate(batch, BeamSearch(1, 0.7), constraints)
    assert beam.word_ids() == captioner.generate(batch, Greedy(), constraints).word_ids()


@all_cases
@strategies
def test_constraints_are_kept(case: Case, strategy: DecodingStrategy) -> None:
    captioner, batch = with_large_weights(case.build()), case.batch()
    with torch.no_grad():
        captions = captioner.generate(batch, strategy, DecodingConstraints((2, 3), 3)).word_ids()
    for words in captions:
        assert 1 <= len(words) <= captioner.sizes.max_words
        assert UNK not in words
        assert words[-1] not in (2, 3) or set(words) <= {2, 3}
        trigrams = list(zip(words, words[1:], words[2:], strict=False))
        assert len(set(trigrams)) == len(trigrams)


@cases
def test_sampling_is_decided_by_the_given_draws_and_passes_gradients(case: Case) -> None:
    captioner, batch = case.build().eval(), case.batch()
    draws = torch.rand(6, 7, generator=torch.Generator().manual_seed(3))
    first, second = (captioner.generate(batch, Sampling(1.0, draws)) for _ in range(2))
    assert torch.equal(first.tokens, second.tokens)
    assert captioner.generate(batch, Sampling(1.0, 1 - draws)).word_ids() != first.word_ids()
    assert first.log_probs.requires_grad
    assert captioner.generate(batch, Sampling(1e-6)).word_ids() == captioner.generate(batch, Greedy()).word_ids()


@all_cases
def test_copies_of_a_batch_are_independent(case: Case) -> None:
    captioner, batch = case.build().eval(), case.batch()
    one, several = captioner.generate(batch, Greedy()), captioner.generate(batch.repeat(3), Greedy())
    assert several.word_ids() == one.word_ids() * 3
    torch.testing.assert_close(several.log_probs, one.log_probs.repeat(3, 1))


@cases
@pytest.mark.parametrize("sampling_prob", quick_cases([0.5, 0.0], 1))
def test_cross_entropy_learns_one_video_by_heart(case: Case, sampling_prob: float) -> None:
    captioner, batch = case.build(hidden=32), case.batch([9], [[(0, 3), (3, 5), (5, 9)]])
    tokens = torch.tensor([[2, 3, 4, EOS, EOS], [5, 3, 2, 6, EOS], [7, EOS, EOS, EOS, EOS]])
    captions = [[2, 3, 4], [5, 3, 2, 6], [7]]
    optimizer = torch.optim.Adam(captioner.parameters(), lr=0.01)
    for _ in range(15):
        for _ in range(10):
            optimizer.zero_grad()
            cross_entropy(captioner(batch, tokens, sampling_prob), tokens).backward()
            optimizer.step()
        if captioner.generate(batch, Greedy()).word_ids() == captions:
            return
    pytest.fail("it does not learn the captions in 150 steps")


SCHEMES = [{"baseline": "greedy"}, {"baseline": "samples", "num_samples": 4}]


@cases
@pytest.mark.parametrize("scheme", quick_cases(SCHEMES, 1), ids=["greedy", "samples"])
def test_self_critical_training_raises_the_reward(case: Case, scheme: dict[str, Any]) -> None:
    captioner, batch = case.build(num_ids=5), case.batch([4] * 8, [[(0, 2), (2, 4)]] * 8)
    optimizer = torch.optim.Adam(captioner.parameters(), lr=0.01)
    torch.manual_seed(3)
    rewards = []
    for _ in range(60):
        step = scst_step(
            captioner,
            batch,
            [""] * 16,
            lambda captions, _: [float(one[0] == 2) for one in captions],
            temperature=1.0,
            **scheme,
        )
        rewards.append(step.sampled_reward)
        optimizer.zero_grad()
        step.loss.backward()
        assert all(one.grad is None or one.grad.isfinite().all() for one in captioner.parameters())
        optimizer.step()
        if sum(rewards[-5:]) / 5 > 0.9:
            break
    assert sum(rewards[-5:]) / 5 > 0.9 > 0.7 > rewards[0], "the first reward is of the untrained captioner"


@all_cases
def test_a_saved_captioner_is_the_same_after_loading(
    case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for spec in TOYS:
        monkeypatch.setitem(CAPTIONERS._specs, spec.name, spec)
    captioner, batch = case.build().eval(), case.batch()
    captioner.fit_feature_norms({name: [stream.values[0]] for name, stream in batch.streams.items()})
    vocabulary, output = tmp_path / "vocabulary.json", tmp_path / "captioner" / "manifest.json"
    vocabulary.write_text(json.dumps({"min_count": 1, "words": list("abcdefg")}))
    output.parent.mkdir()
    output.with_name(METRICS).write_text("")
    metadata = {"stage": "test", "features": {name: [name] for name in case.streams}, "combination": {}, "seed": 5}
    attributes = AttributeList(("a", "b", "c"), (3, 2, 1)) if captioner.sizes.attributes else None
    checkpoint = BestCheckpoint(3, 0.25, cpu_state_dict(captioner))
    save_captioner(output, captioner, vocabulary, checkpoint, metadata, attributes)
    bundle = load_captioner(output)
    loaded = bundle.captioner
    assert bundle.attributes == attributes
    assert type(loaded) is type(captioner)
    assert (loaded.sizes, loaded.settings) == (captioner.sizes, captioner.settings)
    assert not loaded.training
    tokens = random_captions(6, 5)
    assert torch.equal(loaded(batch, tokens), captioner(batch, tokens))


AUTOREGRESSIVE = {name: case for name, case in CASES.items() if case.name not in ("toy_parallel", "nacf")}


@pytest.mark.parametrize("case", AUTOREGRESSIVE.values(), ids=AUTOREGRESSIVE.keys())
def test_teacher_force_and_forward_equal_the_defaults_that_are_made_of_steps(case: Case) -> None:
    captioner, batch = with_large_weights(case.build()), case.batch()
    tokens = random_captions(6, 5)
    mask = token_mask(tokens)
    state = captioner.start(captioner.encode(batch))
    logits, _ = captioner.teacher_force(state, tokens)
    by_steps, _ = Captioner.teacher_force(captioner, state, tokens)
    torch.testing.assert_close(logits[mask], by_steps[mask], atol=1e-4, rtol=1e-4)
    by_rounds = Captioner.forward(captioner, batch, tokens)
    torch.testing.assert_close(captioner(batch, tokens)[mask], by_rounds[mask], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("case", AUTOREGRESSIVE.values(), ids=AUTOREGRESSIVE.keys())
def test_expand_and_reorder_move_rows_and_leave_the_old_state_alone(case: Case) -> None:
    captioner, batch = with_large_weights(case.build()), case.batch()
    start = captioner.start(captioner.encode(batch))
    bos = torch.full((6,), EOS)
    logits, state = captioner.step(start, bos)
    expanded = captioner.expand(state, 2)
    first, _ = captioner.step(expanded, torch.tensor([2, 3] * 6))
    swapped = captioner.reorder(expanded, torch.arange(12).view(6, 2).flip(1).flatten())
    second, _ = captioner.step(swapped, torch.tensor([3, 2] * 6))
    torch.testing.assert_close(first.view(6, 2, -1), second.view(6, 2, -1).flip(1))
    one, _ = captioner.step(state, torch.full((6,), 3))
    torch.testing.assert_close(first.view(6, 2, -1)[:, 1], one, atol=1e-5, rtol=1e-5)
    assert torch.equal(captioner.step(start, bos)[0], logits)


def test_a_captioner_without_step_or_generate_says_what_it_lacks() -> None:
    class Incomplete(Captioner):
        def encode(self, batch: EventBatch) -> None:
            return None

    case = CASES["event_lstm"]
    incomplete = Incomplete(small_sizes(), SPECS["event_lstm"].settings())
    with pytest.raises(NotImplementedError, match="Incomplete: define start and step"):
        incomplete.generate(case.batch(), Greedy())
