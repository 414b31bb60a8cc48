"""The bi-modal transformer as a captioner: reading word by word, word vectors, loss."""

from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.captioners import TWO_STREAMS, make_batch, random_captions, small_sizes
from torch import nn

from pipeline.captioning.bmt.captioner import BmtCaptioner
from pipeline.captioning.captions import cross_entropy, label_smoothing_loss, token_mask
from pipeline.config.captioners import BmtSettings
from pipeline.datasets.vocabulary import EOS, UNK
from pipeline.errors import PipelineError
from pipeline.io.atomic import sha256

WORDS = ("a", "ball", "red", "blue", "rolls", "jumps", "and")


def build(**settings: Any) -> BmtCaptioner:
    torch.manual_seed(2)
    small = {"hidden": 16, "embedding": 12, "dropout": 0.0}
    return BmtCaptioner(small_sizes(TWO_STREAMS), BmtSettings(**{**small, **settings}))


def two_videos() -> Any:
    return make_batch([5, 7], [[(2, 5), (0, 2)], [(0, 7)]], streams=TWO_STREAMS)


@torch.no_grad()
def test_words_read_one_by_one_give_the_logits_of_a_caption_read_at_once() -> None:
    captioner, tokens = build(layers=3).eval(), random_captions(3, 6)
    start = captioner.start(captioner.encode(two_videos()))
    at_once, end = captioner.teacher_force(start, tokens)
    state, inputs = start, torch.cat([torch.full((3, 1), EOS), tokens], 1)
    for position in range(6):
        logits, state = captioner.step(state, inputs[:, position])
        torch.testing.assert_close(logits, at_once[:, position], atol=1e-5, rtol=1e-5)
    for one, other in zip(state.past, end.past, strict=True):
        torch.testing.assert_close(one.keys, other.keys, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(one.values, other.values, atol=1e-5, rtol=1e-5)
    assert start.num_words == 0, "a state is not changed"


@torch.no_grad()
def test_a_caption_is_read_in_one_pass_of_the_decoder(monkeypatch: pytest.MonkeyPatch) -> None:
    captioner = build().eval()
    calls = []
    forward = nn.Module.__call__
    monkeypatch.setattr(
        type(captioner.decoder), "__call__", lambda self, *args: calls.append(1) or forward(self, *args), raising=False
    )
    captioner(two_videos(), random_captions(3, 6))
    assert len(calls) == 1


def test_both_streams_decide_the_caption() -> None:
    captioner, batch, tokens = build().eval(), two_videos(), random_captions(3, 4)
    before = captioner(batch, tokens)
    for stream in ("visual", "audio"):
        changed = two_videos()
        changed.streams[stream].values.neg_()
        assert not torch.allclose(captioner(changed, tokens)[0, 1], before[0, 1], atol=1e-3)


@pytest.mark.parametrize(
    ("settings", "facts"),
    [({"hidden": 18}, ["18", "4"]), ({"label_smoothing": 1.0}, ["label_smoothing"]), ({"heads": 0}, ["heads"])],
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, Any], facts: list[str]) -> None:
    with pytest.raises(PipelineError) as error:
        BmtSettings.parse({"architecture": "bmt", **settings}, "x")
    assert all(fact in str(error.value) for fact in facts)


@pytest.mark.parametrize("streams", [{"features": 5}, {"visual": 5}, {"visual": 5, "sound": 3}])
def test_other_streams_than_visual_and_audio_are_refused(streams: dict[str, int]) -> None:
    with pytest.raises(PipelineError, match=f"visual and audio, not {', '.join(streams)}"):
        BmtCaptioner(small_sizes(streams), BmtSettings())


def test_label_smoothing_of_zero_is_cross_entropy() -> None:
    captioner, tokens = build().eval(), torch.tensor([[2, UNK, EOS], [3, 4, 5], [4, EOS, EOS]])
    log_probs = captioner(two_videos(), tokens)
    torch.testing.assert_close(label_smoothing_loss(log_probs, tokens, 0.0), cross_entropy(log_probs, tokens))


def test_label_smoothing_is_least_at_the_smoothed_targets() -> None:
    tokens = torch.tensor([[2, 3, EOS]])
    targets = torch.full((1, 3, 9), 0.7 / 7)
    targets[:, :, UNK] = 0.0
    targets[0, 0, EOS] = 0.0
    targets[0, 0] *= 7 / 6
    targets.scatter_(2, tokens[..., None], 0.3)
    torch.testing.assert_close(targets.sum(2), torch.ones(1, 3))
    assert label_smoothing_loss(targets.log(), tokens, 0.7).item() == pytest.approx(0.0, abs=1e-6)
    other = targets.log().index_fill(2, torch.tensor(3), -3.0).log_softmax(2)
    assert label_smoothing_loss(other, tokens, 0.7) > 0.01


def test_the_loss_smooths_labels_and_has_finite_gradients() -> None:
    captioner, tokens = build(label_smoothing=0.7), random_captions(3, 4)
    log_probs = captioner(two_videos(), tokens)
    loss = captioner.compute_loss(log_probs, tokens)
    torch.testing.assert_close(loss, label_smoothing_loss(log_probs, tokens, 0.7))
    loss.backward()
    gradients = [parameter.grad for parameter in captioner.parameters()]
    assert all(gradient is not None and gradient.isfinite().all() for gradient in gradients)
    assert token_mask(tokens).any()


def write_vectors(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_word_vectors_are_read_once_and_not_trained(tmp_path: Path) -> None:
    path = write_vectors(tmp_path / "v.txt", "ball 1 2 3", ". . 9 9 9", "red -1 0.5 1e-1", "other 4 4 4", "ball 5 5 5")
    captioner = build(embedding=3, word_vectors=str(path))
    note = captioner.initialize_words(WORDS)
    assert note == {"file": "v.txt", "sha256": sha256(path), "words": "2 of 7"}
    rows = captioner.embedding.weight.tolist()
    assert rows[WORDS.index("ball") + 2] == [1.0, 2.0, 3.0]
    assert rows[WORDS.index("red") + 2] == pytest.approx([-1.0, 0.5, 0.1])
    assert sum(any(row) for row in rows) == 2, "the special ids and other words have zeros"
    captioner.compute_loss(captioner(two_videos(), random_captions(3, 4)), random_captions(3, 4)).backward()
    assert captioner.embedding.weight.grad is None
    assert captioner.settings.word_vectors == "v.txt", "the place of the file means nothing elsewhere"


def test_without_word_vectors_the_embedding_is_learned() -> None:
    captioner = build()
    before = captioner.embedding.weight.clone()
    assert captioner.initialize_words(WORDS) == "none: the embedding is learned"
    assert torch.equal(captioner.embedding.weight, before)
    captioner.compute_loss(captioner(two_videos(), random_captions(3, 4)), random_captions(3, 4)).backward()
    assert captioner.embedding.weight.grad is not None


@pytest.mark.parametrize(
    ("lines", "facts"),
    [
        (["ball 1 2", "red 3 4"], ["line 1", "2 numbers", "expected 3"]),
        (["400000 3", "ball 1 2 3"], ["line 1", "1 numbers", "expected 3"]),
        (["of 1 2 3", "ball 1 2"], ["line 2", "2 numbers"]),
        (["of 1 2 3", "ball 1 two 3"], ["line 2", "two"]),
        (["of 1 2 3", "ball 1 nan 3"], ["line 2", "'ball'", "NaN"]),
        (["of 1 2 3", "le 4 5 6"], ["none of the 7 words"]),
        ([], ["line 1", "0 numbers"]),
    ],
    ids=["dimension", "header", "short", "word", "nan", "language", "empty"],
)
def test_malformed_word_vectors_are_refused(tmp_path: Path, lines: list[str], facts: list[str]) -> None:
    path = write_vectors(tmp_path / "vectors.txt", *lines)
    with pytest.raises(PipelineError) as error:
        build(embedding=3, word_vectors=str(path)).initialize_words(WORDS)
    assert all(fact in str(error.value) for fact in [str(path), *facts])


def test_word_vectors_that_are_absent_or_no_text_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "vectors.bin"
    with pytest.raises(PipelineError, match=r"vectors\.bin: word vectors cannot be read"):
        build(word_vectors=str(path)).initialize_words(WORDS)
    path.write_bytes(b"\xff\xfe\x00 1 2 3\n")
    with pytest.raises(PipelineError, match=r"vectors\.bin: no text in UTF-8"):
        build(word_vectors=str(path)).initialize_words(WORDS)
