"""What the clip captioners do beside the published numbers: cache, padding, refinement, teacher."""

from dataclasses import dataclass
from typing import Any

import pytest
import torch
from helpers.captioners import (
    NUM_IDS,
    ONE_STREAM,
    TWO_STREAMS,
    make_batch,
    random_captions,
    small_sizes,
    with_large_weights,
)
from torch import Tensor

from benchmarks.plain_transformer import PlainTransformerCaptioner
from pipeline.captioning.base import CaptionerSizes, trim_padding
from pipeline.captioning.captions import DecodingConstraints, cross_entropy, token_mask
from pipeline.captioning.clip.autoregressive import TransformerCaptioner
from pipeline.captioning.clip.captioner import ClipCaptioner
from pipeline.captioning.clip.mask_predict import MaskPredict, choose_lengths
from pipeline.captioning.clip.masked_words import SpecialIds, find_visual_words, mask_words
from pipeline.captioning.clip.nacf import NacfCaptioner, end_log_probs
from pipeline.captioning.decoding import BeamSearch, Greedy, Sampling
from pipeline.captioning.instances import Instances
from pipeline.captioning.targets import CaptionTargets
from pipeline.config.captioners import CAPTIONERS
from pipeline.datasets.vocabulary import EOS
from pipeline.errors import PipelineError

SMALL: dict[str, Any] = {"hidden": 16, "dropout": 0.0}
HEADS: dict[str, Any] = {"heads": 4, "attention_dropout": 0.0}
LENGTHS, EVENTS = [5, 7, 1], [[(2, 5), (0, 2)], [(0, 7)], [(0, 1)]]


def build(name: str, streams: dict[str, int] = ONE_STREAM, seed: int = 1, **settings: Any) -> ClipCaptioner:
    spec = CAPTIONERS[name]
    torch.manual_seed(seed)
    values = SMALL | ({} if name == "topdown" else HEADS) | settings
    captioner: ClipCaptioner = spec.load()(small_sizes(streams), spec.settings.model_validate(values))
    return captioner


@pytest.mark.parametrize("layers", [1, 3])
def test_the_cache_of_keys_and_values_changes_no_logit_and_no_caption(layers: int) -> None:
    cached = with_large_weights(build("transformer", TWO_STREAMS, layers=layers), 2.0).double()
    plain = PlainTransformerCaptioner(cached.sizes, cached.settings).double().eval()
    plain.load_state_dict(cached.state_dict())
    batch = make_batch(LENGTHS, EVENTS, streams=TWO_STREAMS)
    states = [captioner.start(captioner.encode(batch)) for captioner in (cached, plain)]
    for tokens in random_captions(4, 6).unbind(1):
        of_cached, states[0] = cached.step(states[0], tokens)
        of_plain, states[1] = plain.step(states[1], tokens)
        torch.testing.assert_close(of_cached, of_plain, atol=1e-10, rtol=1e-10)
    for strategy in (Greedy(), BeamSearch(5, 1.0)):
        captions = [captioner.generate(batch, strategy, DecodingConstraints((2,), 3)) for captioner in (cached, plain)]
        assert captions[0].word_ids() == captions[1].word_ids()
        torch.testing.assert_close(captions[0].log_probs, captions[1].log_probs)


def test_a_state_of_the_decoder_continues_where_teacher_forcing_ended() -> None:
    captioner = with_large_weights(build("transformer"))
    batch = make_batch(LENGTHS, EVENTS)
    tokens = torch.full((4, 4), 3)
    start = captioner.start(captioner.encode(batch))
    whole, _ = captioner.teacher_force(start, tokens)
    _, state = captioner.teacher_force(start, tokens[:, :3])
    logits, _ = captioner.step(state, tokens[:, 2])
    torch.testing.assert_close(logits, whole[:, 3], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", ["arb", "nacf"])
def test_padding_does_not_enter_the_statistics_of_batch_normalisation(name: str) -> None:
    captioner, batch = build(name).train(), make_batch([3, 8], [[(0, 2)], [(1, 8)]])
    captioner.encode(batch)
    [norm] = [module for module in captioner.encoder.modules() if isinstance(module, torch.nn.BatchNorm1d)]
    before = norm.running_mean.clone()
    again, longer = build(name).train(), make_batch([3, 8], [[(0, 2)], [(1, 8)]])
    longer.streams["features"].values[0, 3:] = 1e6
    again.encode(longer)
    [norm] = [module for module in again.encoder.modules() if isinstance(module, torch.nn.BatchNorm1d)]
    assert torch.equal(norm.running_mean, before)


def test_one_feature_row_alone_can_be_trained_on() -> None:
    captioner, batch = build("arb").train(), make_batch([1], [[(0, 1)]])
    tokens = torch.tensor([[2, 3, EOS]])
    loss = cross_entropy(captioner(batch, tokens), tokens)
    loss.backward()
    assert loss.isfinite()


@pytest.mark.parametrize("name", ["transformer", "topdown", "arb"])
def test_the_loss_is_per_caption_or_per_word(name: str) -> None:
    batch, tokens = make_batch(LENGTHS, EVENTS), random_captions(4, 5)
    losses = {}
    for loss_per in ("caption", "word"):
        captioner = build(name, loss_per=loss_per).eval()
        losses[loss_per] = captioner.compute_loss(captioner(batch, tokens), tokens)
    scored = (token_mask(tokens) & (tokens != 1)).sum()
    torch.testing.assert_close(losses["caption"] * 4, losses["word"] * scored)
    torch.testing.assert_close(losses["word"], cross_entropy(captioner(batch, tokens), tokens))


def test_heads_must_divide_the_hidden_size() -> None:
    with pytest.raises(ValueError, match="heads 7"):
        build("transformer", heads=7)


def targets_of(tokens: Tensor, words: list[list[str]], captioner: ClipCaptioner) -> CaptionTargets:
    lengths = torch.zeros(len(tokens), captioner.sizes.max_words + 1)
    for row, of_row in enumerate(words):
        lengths[row, len(of_row)] = 1.0
    return CaptionTargets(tokens, words, lengths, torch.zeros(len(tokens), captioner.sizes.attributes))


TOKENS = torch.tensor([[2, 3, 4, EOS, EOS], [5, 3, 2, 6, EOS], [7, 8, EOS, EOS, EOS]])
WORDS = [["a", "dog", "runs"], ["the", "dog", "a", "red"], ["cat", "sits"]]


def learn(captioner: NacfCaptioner, batch: Any, steps: int = 150) -> None:
    optimizer = torch.optim.Adam(captioner.parameters(), lr=0.01)
    targets = targets_of(TOKENS, WORDS, captioner)
    torch.manual_seed(3)
    captioner.train()
    for _ in range(steps):
        optimizer.zero_grad()
        torch.stack(list(captioner.compute_losses(batch, targets).values())).sum().backward()
        optimizer.step()
    captioner.eval()


@pytest.mark.parametrize("template", [True, False])
def test_nacf_learns_captions_by_heart_and_writes_them_in_several_passes(template: bool) -> None:
    captioner = build("nacf", hidden=32, min_words=1, template=template, visual_weight=0.8 if template else 0.0)
    batch = make_batch([9], [[(0, 3), (3, 5), (5, 9)]])
    learn(captioner, batch)
    expected = [[2, 3, 4], [5, 3, 2, 6], [7, 8]]
    assert captioner.generate(batch, Greedy()).word_ids() == expected
    assert captioner.generate(batch, BeamSearch(1, 1.0)).word_ids() == expected


def test_the_losses_of_nacf_are_named_and_those_without_weight_are_left_out() -> None:
    batch = make_batch([9], [[(0, 3), (3, 5), (5, 9)]])
    captioner = build("nacf")
    assert set(captioner.compute_losses(batch, targets_of(TOKENS, WORDS, captioner))) == {
        "masked_words",
        "visual_words",
        "length",
    }
    without = build("nacf", visual_weight=0.0)
    assert set(without.compute_losses(batch, targets_of(TOKENS, WORDS, without))) == {"masked_words", "length"}


@pytest.mark.parametrize("attribute_words", ["caption", "masked_caption"])
def test_attributes_of_nacf_see_the_caption_or_the_masked_one(attribute_words: str) -> None:
    spec = CAPTIONERS["nacf"]
    settings = {**SMALL, **HEADS, "attribute_words": attribute_words, "attributes": {"count": 3, "visual": False}}
    torch.manual_seed(0)
    captioner = spec.load()(CaptionerSizes(ONE_STREAM, NUM_IDS, 7, 3), spec.settings.model_validate(settings)).eval()
    batch, targets = make_batch([9], [[(0, 3), (3, 5), (5, 9)]]), targets_of(TOKENS, WORDS, captioner)
    losses = [captioner.compute_losses(batch, targets)["text_attributes"].item() for _ in range(6)]
    assert (len(set(losses)) > 1) == (attribute_words == "masked_caption"), "masks are drawn at random"


def test_any_number_of_words_but_none_and_all_is_masked_equally_often() -> None:
    torch.manual_seed(0)
    words = torch.arange(2, 8).repeat(3000, 1)
    masked = mask_words(words, torch.ones_like(words, dtype=torch.bool), SpecialIds(0, 8, 9))
    counts = masked.scored.sum(1)
    shares = torch.bincount(counts, minlength=7) / 3000
    assert shares[[0, 6]].sum() == 0
    assert (shares[1:6] - 0.2).abs().max() < 0.03
    assert (masked.scored.float().mean(0) - 0.5).abs().max() < 0.04
    assert torch.equal(masked.source == 8, masked.scored)


def test_of_a_caption_of_one_word_nothing_is_masked() -> None:
    words, mask = torch.tensor([[2, 0], [2, 3]]), torch.tensor([[True, False], [True, True]])
    assert mask_words(words, mask, SpecialIds(0, 8, 9)).scored.sum(1).tolist() == [0, 1]


def test_visual_words_are_nouns_and_verbs_but_forms_of_be() -> None:
    captions = [["a", "dog", "is", "running"], ["the", "red", "ball"]]
    flags = find_visual_words(captions, "lexicon", torch.Size([2, 3]))
    assert flags.tolist() == [[False, True, False], [False, False, True]]


def test_lengths_that_are_too_short_are_tried_as_the_shortest_allowed() -> None:
    log_probs = torch.tensor([[-9.0, 0.0, -1.0, -2.0, -3.0, -4.0]])
    assert choose_lengths(log_probs, 3, 3, 5).tolist() == [[3, 3, 3]]
    assert choose_lengths(log_probs, 9, 1, 4).tolist() == [[1, 2, 3, 4, 4, 1]]
    assert choose_lengths(log_probs, 1, 9, 5).tolist() == [[5]], "no caption is longer than the maximum"


def test_the_probabilities_of_ends_are_those_of_the_lengths() -> None:
    log_probs = torch.randn(3, 6).log_softmax(1)
    ends, goes_on = end_log_probs(log_probs)
    for length in range(1, 7):
        torch.testing.assert_close(goes_on[:, :length].sum(1) + ends[:, length], log_probs[:, length - 1])


def test_a_pass_changes_the_least_certain_words_alone() -> None:
    ids, inputs = SpecialIds(0, 8, 9), []

    def predict(tokens: Tensor, mask: Tensor, chosen: Tensor, is_template: bool) -> tuple[Tensor, Tensor]:
        inputs.append(tokens.tolist())
        answer = torch.full_like(tokens, len(inputs) + 1)
        return answer[chosen], torch.tensor([[0.9, 0.1, 0.5, 0.2]])[chosen]

    result = MaskPredict(ids, 2, template=False).refine(torch.tensor([4]), predict)
    assert inputs == [[[8, 8, 8, 8]], [[2, 8, 2, 8]]]
    assert result.tokens.tolist() == [[2, 3, 2, 3]]


def test_the_template_leaves_words_open_that_the_next_pass_fills() -> None:
    ids, inputs = SpecialIds(0, 8, 9), []

    def predict(tokens: Tensor, mask: Tensor, chosen: Tensor, is_template: bool) -> tuple[Tensor, Tensor]:
        inputs.append((tokens.tolist(), is_template))
        answer = torch.tensor([[8, 4, 8]]) if is_template else torch.tensor([[2, 3, 5]])
        return answer[chosen], torch.full((1, 3), 0.5)[chosen]

    result = MaskPredict(ids, 1, template=True).refine(torch.tensor([3]), predict)
    assert inputs == [([[9, 9, 9]], True), ([[8, 4, 8]], False)]
    assert result.tokens.tolist() == [[2, 4, 5]]


@pytest.mark.parametrize(("order", "second"), [("left_to_right", [3, 4, 8]), ("easy_first", [8, 4, 5])])
def test_open_positions_are_filled_one_by_one_and_then_the_visual_words_again(order: Any, second: list[int]) -> None:
    ids, inputs = SpecialIds(0, 8, 9), []

    def predict(tokens: Tensor, mask: Tensor, chosen: Tensor, is_template: bool) -> tuple[Tensor, Tensor]:
        inputs.append(tokens[0].tolist())
        answer = torch.tensor([[8, 4, 8]]) if is_template else torch.tensor([[3, 7, 5]])
        return answer[chosen], torch.tensor([[0.2, 0.5, 0.6]])[chosen]

    result = MaskPredict(ids, 1, template=True, order=order).refine(torch.tensor([3]), predict)
    assert inputs == [[9, 9, 9], [8, 4, 8], second, [3, 8, 5]]
    assert result.tokens.tolist() == [[3, 7, 5]]


def test_without_a_template_there_is_nothing_to_fill() -> None:
    with pytest.raises(ValueError, match="template"):
        build("nacf", template=False, refinement="easy_first")


@dataclass
class TeacherCase:
    """A captioner with a teacher that knows the captions, and one without."""

    captioner: NacfCaptioner
    teacher: TransformerCaptioner


def with_teacher(**settings: Any) -> TeacherCase:
    teacher = build("arb", seed=5).eval()
    captioner = build("nacf", teacher="arb", **settings)
    captioner.start_from_teacher(teacher)
    return TeacherCase(captioner, teacher)


def test_a_captioner_starts_from_its_teacher_and_does_not_train_it() -> None:
    case = with_teacher()
    captioner, teacher = case.captioner, case.teacher
    for name, value in teacher.state_dict().items():
        if name.startswith(("encoder.", "decoder.", "output.")):
            value_of_captioner = captioner.state_dict()[name]
            assert torch.equal(value_of_captioner[: len(value)] if value.ndim else value_of_captioner, value), name
            assert torch.equal(captioner.state_dict()[f"teacher.{name}"], value), name
    assert not captioner.train().teacher.training
    batch = make_batch([9], [[(0, 3), (3, 5), (5, 9)]])
    learn(captioner, batch, steps=2)
    for name, value in teacher.state_dict().items():
        assert torch.equal(captioner.state_dict()[f"teacher.{name}"], value), name


def test_the_teacher_selects_among_lengths() -> None:
    case = with_teacher(min_words=1, lengths=5, template=False)
    captioner, teacher = with_large_weights(case.captioner, 2.0), case.captioner.teacher
    batch = make_batch([9], [[(0, 3), (3, 5), (5, 9)]])
    captions = captioner.generate(batch, Greedy())
    scores = []
    for lengths in (1, 5):
        captioner.settings = captioner.settings.model_copy(update={"lengths": lengths})
        tokens = captioner.generate(batch, Greedy()).tokens
        log_probs = teacher(batch, tokens).gather(2, tokens[..., None]).squeeze(2)
        mask = tokens != EOS
        scores.append((log_probs.masked_fill(~mask, 0.0).sum(1) / mask.sum(1)).mean())
    assert scores[1] > scores[0], "captions of several lengths: those that the teacher finds more probable"
    assert captions.word_ids() == captioner.generate(batch, BeamSearch(2, 1.0)).word_ids()


@pytest.mark.parametrize("settings", [{"hidden": 32}, {"heads": 2}, {"layers": 2}, {"feedforward": 8}])
def test_a_teacher_of_another_size_is_refused(settings: dict[str, Any]) -> None:
    captioner = build("nacf", teacher="my_arb")
    with pytest.raises(PipelineError, match="my_arb"):
        captioner.start_from_teacher(build("arb", **settings))


def test_a_teacher_of_another_kind_is_refused() -> None:
    with pytest.raises(PipelineError, match="arb"):
        build("nacf", teacher="x").start_from_teacher(build("transformer"))


def test_samples_of_nacf_end_where_the_length_says() -> None:
    captioner = with_large_weights(build("nacf"))
    batch = make_batch([4] * 600, [[(0, 4)]] * 600)
    torch.manual_seed(0)
    with torch.no_grad():
        tokens = captioner.generate(batch, Sampling(1.0)).tokens
        memory = captioner.encode(batch)
        expected = captioner.length_log_probs(Instances(memory.values, memory.mask)).exp().mean(0)
    shares = torch.bincount((trim_padding(tokens) != EOS).sum(1), minlength=8)[1:] / 600
    torch.testing.assert_close(shares, expected, atol=0.06, rtol=0.0)
