"""Event sequences, batches, proposal times and the shuffled control."""

import logging
from pathlib import Path

import pytest
import torch
from helpers.caption_corpus import write_caption_corpus
from helpers.captioners import event_lstm
from hypothesis import given
from hypothesis import strategies as st

from pipeline.captioning.event_sequences import (
    annotated_sequences,
    draw_derangement,
    encode_sentences,
    move_to_video,
    sentences_of,
)
from pipeline.captioning.streams import EventSequence, StreamCache, gather_event_rows
from pipeline.datasets.corpus import Corpus
from pipeline.datasets.vocabulary import EOS, UNK, Vocabulary
from pipeline.errors import PipelineError
from pipeline.features.streams import FeatureStreams


def test_annotated_sequences_has_one_sequence_per_annotator(tmp_path: Path) -> None:
    corpus = write_caption_corpus(tmp_path, {"train": 1, "val": 2, "test": 1})
    sequences = annotated_sequences(Corpus.open(corpus.manifest), ["train", "val"], corpus.open_features().videos)
    assert [sequence.video for sequence in sequences] == ["v_train0", "v_val0", "v_val0", "v_val1", "v_val1"]
    assert sequences[1].times == ((1.0, 3.0), (4.0, 7.0))
    assert sequences[2].times == ((1.0, 3.25), (4.0, 7.25))
    assert len(sentences_of(sequences)) == 10


def test_annotated_sequences_logs_the_videos_without_features(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    corpus = write_caption_corpus(tmp_path, {"train": 3}, featureless=["v_train1"])
    with caplog.at_level(logging.INFO):
        sequences = annotated_sequences(Corpus.open(corpus.manifest), ["train"], corpus.open_features().videos)
    assert [sequence.video for sequence in sequences] == ["v_train0", "v_train2"]
    assert "1 captioned videos have no features (v_train1" in caplog.text


def test_collate_finds_the_feature_rows_and_relative_times_of_events(tmp_path: Path) -> None:
    corpus = write_caption_corpus(tmp_path, {"train": 2})
    sequences = [
        EventSequence("v_train0", ((0.0, 2.0), (6.0, 8.0))),  # of 8 s
        EventSequence("v_train1", ((4.5, 99.0),)),  # of 9 s
    ]
    batch = StreamCache(corpus.open_streams(), 1.0).collate(sequences)
    stream = batch.streams["features"]
    assert stream.values.shape == (2, 9, 6)
    assert torch.equal(stream.values[0, :8], torch.tensor(corpus.open_features().read("v_train0")))
    assert stream.values[0, 8].abs().sum() == 0
    assert stream.lengths.tolist() == [8, 9]
    assert batch.sequence_index.tolist() == [0, 0, 1]
    assert stream.event_rows.tolist() == [[0, 2], [6, 8], [4, 9]]
    expected = torch.tensor([[0, 0.25, 0.25], [0.75, 1, 0.25], [0.5, 1, 0.5]])
    torch.testing.assert_close(batch.relative_times, expected)
    assert (batch.num_events, batch.num_sequences) == (3, 2)


def test_collate_gives_an_event_of_no_length_the_nearest_row(tmp_path: Path) -> None:
    cache = StreamCache(write_caption_corpus(tmp_path, {"train": 1}).open_streams(), 1.0)
    batch = cache.collate([EventSequence("v_train0", ((3.2, 3.2), (99.0, 99.0)))])
    assert batch.streams["features"].event_rows.tolist() == [[3, 4], [7, 8]]
    expected = torch.tensor([[0.4, 0.4, 0.1 / 8], [1.0, 1.0, 0.1 / 8]])
    torch.testing.assert_close(batch.relative_times, expected)
    captioner = event_lstm(dim=6).eval()
    assert captioner(batch, torch.full((2, 2), 2)).isfinite().any(2).all()


def test_streams_have_their_own_time_grids_and_the_videos_they_share(tmp_path: Path) -> None:
    corpus = write_caption_corpus(tmp_path, {"train": 3})
    corpus.add_audio(reject=["v_train1"])
    streams = FeatureStreams.open(corpus.features, {"visual": ["toy"], "audio": ["audio"]}, 1)
    assert streams.dims == {"visual": 6, "audio": 3}
    assert set(streams.durations) == {"v_train0", "v_train2"}
    assert {name: set(one["expected"]) for name, one in streams.metadata().items()} == {
        "visual": {"toy"},
        "audio": {"audio"},
    }
    batch = StreamCache(streams, 1.0).collate([EventSequence("v_train0", ((1.0, 3.0),))])
    assert batch.streams["visual"].values.shape == (1, 8, 6)
    assert batch.streams["audio"].values.shape == (1, 16, 3)
    assert batch.streams["visual"].event_rows.tolist() == [[1, 3]]
    assert batch.streams["audio"].event_rows.tolist() == [[2, 6]]


def test_gather_event_rows_pads_to_the_longest_event() -> None:
    features = torch.arange(10.0).view(2, 5, 1)
    rows, mask = gather_event_rows(features, torch.tensor([1, 0]), torch.tensor([[3, 5], [0, 3]]))
    assert mask.tolist() == [[True, True, False], [True, True, True]]
    assert rows[..., 0][mask].tolist() == [8.0, 9.0, 0.0, 1.0, 2.0]


def test_encode_sentences_ends_and_pads_with_eos() -> None:
    vocabulary = Vocabulary(["a", "ball"])
    ids = encode_sentences(["a ball", "a kite a ball", "..."], vocabulary, 3)
    assert ids.tolist() == [[2, 3, EOS, EOS], [2, UNK, 2, EOS], [UNK, EOS, EOS, EOS]]


@given(st.integers(2, 40), st.integers(0, 5))
def test_draw_derangement_gives_each_video_another_one(count: int, seed: int) -> None:
    videos = [f"v{number:02d}" for number in range(count)]
    source = draw_derangement(videos, [], seed)
    assert sorted(source) == videos
    assert sorted(source.values()) == videos
    assert all(video != other for video, other in source.items())
    assert draw_derangement(videos, [], seed) == source


def test_draw_derangement_depends_on_the_seed() -> None:
    videos = [f"v{number:02d}" for number in range(20)]
    assert draw_derangement(videos, [], 0) != draw_derangement(videos, [], 1)


def test_draw_derangement_of_one_video_uses_another_video_of_the_dataset() -> None:
    assert draw_derangement(["a"], ["a", "b"], 0) == {"a": "b"}
    with pytest.raises(PipelineError, match="second video"):
        draw_derangement(["a"], ["a"], 0)


def test_with_features_of_keeps_relative_times(tmp_path: Path) -> None:
    durations = write_caption_corpus(tmp_path, {"test": 3}).open_features().videos
    video, source = "v_test0", "v_test2"
    assert (durations[video], durations[source]) == (8.0, 10.0)
    moved = move_to_video(EventSequence(video, ((0.0, 4.0), (4.0, 8.0))), source, durations)
    assert moved == EventSequence(source, ((0.0, 5.0), (5.0, 10.0)))
