"""What cross-entropy and self-critical training share."""

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from helpers.caption_corpus import fake_tokenize, write_caption_corpus
from helpers.captioners import event_lstm

from pipeline.captioning.caption_scorer import CaptionScorer
from pipeline.captioning.captions import cross_entropy
from pipeline.captioning.event_sequences import annotated_sequences, encode_sentences, sentences_of
from pipeline.captioning.shared_training import bad_ending_share, validate
from pipeline.captioning.streams import StreamCache
from pipeline.datasets.corpus import Corpus
from pipeline.datasets.vocabulary import EOS, UNK, Vocabulary
from pipeline.evaluation.meteor import Meteor
from pipeline.evaluation.tokenizer import tokenize

VOCABULARY = Vocabulary(["a", "man's", "kite", "with", "("])


def test_cross_entropy_counts_words_and_eos_but_no_unknown_words() -> None:
    log_probs = torch.log(torch.tensor([[[0.5, 0.2, 0.3], [0.25, 0.5, 0.25], [0.1, 0.1, 0.8]]]))
    loss = cross_entropy(log_probs, torch.tensor([[2, EOS, EOS]]))
    assert loss.item() == pytest.approx(-(torch.tensor([0.3, 0.25]).log().mean().item()))
    with_unknown = cross_entropy(log_probs, torch.tensor([[UNK, 2, EOS]]))
    assert with_unknown.item() == pytest.approx(-(torch.tensor([0.25, 0.1]).log().mean().item()))


def test_bad_ending_share_counts_empty_and_broken_off_captions() -> None:
    captions = [VOCABULARY.encode(text, 9) for text in ("a kite", "a kite with a", "a kite with", "")]
    assert bad_ending_share(captions, VOCABULARY) == pytest.approx(3 / 4)


def test_validate_returns_the_mean_over_the_events(tmp_path: Path) -> None:
    corpus = write_caption_corpus(tmp_path, {"val": 3})
    streams, vocabulary = corpus.open_streams(), Vocabulary.read(corpus.vocabulary)
    sequences = annotated_sequences(Corpus.open(corpus.manifest), ["val"], streams.durations)
    captioner = event_lstm(dim=6, hidden=8, num_ids=vocabulary.size, max_words=5, dropout=0.5).train()
    calls: list[list[str]] = []

    def score(pairs: Sequence[tuple[str, str]]) -> list[float]:
        calls.append([reference for _, reference in pairs])
        return [float(index) for index in range(len(pairs))]

    scorer = CaptionScorer(score, fake_tokenize, vocabulary, sentences_of(sequences))
    metrics = validate(captioner, sequences, StreamCache(streams, 1.0), scorer, vocabulary)
    assert calls[1:] == [fake_tokenize(sentences_of(sequences))]
    assert metrics["meteor"] == pytest.approx((12 - 1) / 2)
    assert captioner.training


def test_one_video_is_learned_by_heart_to_a_meteor_above_nine_tenths(tmp_path: Path) -> None:
    corpus = write_caption_corpus(tmp_path, {"train": 1})
    streams, vocabulary = corpus.open_streams(), Vocabulary.read(corpus.vocabulary)
    sequences = annotated_sequences(Corpus.open(corpus.manifest), ["train"], streams.durations)
    cache = StreamCache(streams, 1.0)
    captioner = event_lstm(dim=6, num_ids=vocabulary.size, max_words=8, seed=0)
    optimizer = torch.optim.Adam(captioner.parameters(), lr=0.02)
    batch, tokens = cache.collate(sequences), encode_sentences(sequences[0].sentences, vocabulary, 8)
    with Meteor() as meteor:
        scorer = CaptionScorer(meteor.score, tokenize, vocabulary, sequences[0].sentences)
        before = validate(captioner, sequences, cache, scorer, vocabulary)["meteor"]
        for _ in range(40):
            optimizer.zero_grad()
            cross_entropy(captioner(batch, tokens), tokens).backward()
            optimizer.step()
        after = validate(captioner, sequences, cache, scorer, vocabulary)["meteor"]
    assert before < 0.5
    assert after > 0.9
