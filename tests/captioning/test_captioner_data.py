"""Events and batches."""

import logging
from pathlib import Path

import pytest
import torch
from helpers.caption_corpus import write_small

from pipeline.captioning.data import EventSequence, annotated, collate, sentences_of, targets
from pipeline.captioning.event_captioner import Architecture, Captioner
from pipeline.datasets.corpus import Corpus
from pipeline.datasets.vocabulary import END, UNK, Vocabulary
from pipeline.features.cache import ClipCache


def test_each_annotator_gives_a_sequence_of_their_own(tmp_path: Path) -> None:
    small = write_small(tmp_path, {"train": 1, "val": 2, "test": 1})
    found = annotated(Corpus.open(small.corpus), ["train", "val"], small.open_features())
    assert [one.video for one in found] == ["v_train0", "v_val0", "v_val0", "v_val1", "v_val1"]
    first, second = found[1], found[2]
    assert first.times == ((1.0, 3.0), (4.0, 7.0))
    assert second.times == ((1.0, 3.25), (4.0, 7.25))
    assert len(sentences_of(found)) == 10


def test_videos_without_features_are_counted_in_the_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    small = write_small(tmp_path, {"train": 3}, featureless=["v_train1"])
    with caplog.at_level(logging.INFO):
        found = annotated(Corpus.open(small.corpus), ["train"], small.open_features())
    assert [one.video for one in found] == ["v_train0", "v_train2"]
    assert "1 captioned videos have no features (v_train1" in caplog.text


def test_a_batch_says_which_clips_are_whose(tmp_path: Path) -> None:
    small = write_small(tmp_path, {"train": 2})
    features = small.open_features()
    sequences = [
        EventSequence("v_train0", ((0.0, 2.0), (6.0, 8.0))),  # of 8 s
        EventSequence("v_train1", ((4.5, 99.0),)),  # of 9 s
    ]
    batch = collate(sequences, ClipCache(features, 1.0))
    assert batch.clips.shape == (2, 9, 6)
    assert torch.equal(batch.clips[0, :8], torch.tensor(features.read("v_train0")))
    assert batch.clips[0, 8].abs().sum() == 0
    assert batch.sequence.tolist() == [0, 0, 1]
    assert batch.rows.tolist() == [[0, 2], [6, 8], [4, 9]]
    expected = torch.tensor([[0, 0.25, 0.25], [0.75, 1, 0.25], [0.5, 1, 0.5]])
    torch.testing.assert_close(batch.spans, expected)


def test_an_event_of_no_length_is_told_from_the_nearest_clip(tmp_path: Path) -> None:
    features = write_small(tmp_path, {"train": 1}).open_features()
    batch = collate([EventSequence("v_train0", ((3.2, 3.2), (99.0, 99.0)))], ClipCache(features, 1.0))
    assert batch.rows.tolist() == [[3, 4], [7, 8]]
    torch.testing.assert_close(batch.spans, torch.tensor([[0.4, 0.4, 0.1 / 8], [1.0, 1.0, 0.1 / 8]]))
    torch.manual_seed(0)
    model = Captioner(Architecture(6, 16, 9, 5, 0.0)).eval()
    assert model(batch, torch.full((2, 2), 2)).isfinite().any(2).all()


def test_targets_end_and_are_padded_with_ends() -> None:
    known = Vocabulary(["a", "ball"])
    ids = targets(["a ball", "a kite a ball", "..."], known, 3)
    assert ids.tolist() == [[2, 3, END, END], [2, UNK, 2, END], [UNK, END, END, END]]
