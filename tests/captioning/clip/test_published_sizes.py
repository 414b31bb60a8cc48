"""The published sizes of MSR-VTT and VATEX: every captioner trains two steps and captions clips of the right shape."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.corpus_tables import write_corpus_tables
from helpers.feature_files import random_features, write_feature_shard

from pipeline import train_captioner
from pipeline.captioning.bundle import load_captioner
from pipeline.captioning.decoding import BeamSearch
from pipeline.captioning.event_sequences import annotated_sequences
from pipeline.captioning.streams import StreamCache
from pipeline.datasets.corpus import CaptionedEvent, Corpus, CorpusVideo
from pipeline.features.time_grid import ClipGrid

NUM_ROWS, NUM_CLIPS, CAPTIONS_PER_CLIP, NUM_WORDS = 28, 8, 8, 2000
DURATION = float(NUM_ROWS)
STREAMS = {
    "msrvtt": {"audio": 128, "motion": 2048, "image": 512},
    "vatex": {"motion": 1024, "image": 512},
}
SIZES: dict[str, dict[str, Any]] = {"msrvtt": {"hidden": 512, "heads": 8}, "vatex": {"hidden": 1024, "heads": 16}}
PUBLISHED = {"lr": 5e-4, "lr_decay": 0.9, "lr_min": 1e-6, "weight_decay": 1e-3, "max_words": 28, "batch_videos": 16}
REHEARSAL = {"epochs": 1, "steps_per_epoch": 2, "selection": "last"}


def write_clips(folder: Path, streams: dict[str, int]) -> tuple[Path, Path]:
    """Write a corpus of clips with made captions and features; return its manifest and the vocabulary."""
    draw = np.random.default_rng(0)
    words = [f"word{number}" for number in range(NUM_WORDS)]
    names = [f"video{number}" for number in range(NUM_CLIPS)]
    videos = [CorpusVideo(name, "train", 0, f"{name}.mp4", DURATION) for name in names]
    captions = [
        CaptionedEvent(name, annotator, 0.0, DURATION, " ".join(draw.choice(words, draw.integers(5, 20))))
        for name in names
        for annotator in range(1, CAPTIONS_PER_CLIP + 1)
    ]
    manifest = folder / "corpus" / "manifest.json"
    write_corpus_tables(manifest, videos, captions=captions, metadata={"shards": 1, "counts": {}})
    for name, dim in streams.items():
        features = {video: random_features(NUM_ROWS, dim=dim) for video in names}
        write_feature_shard(folder / "features", features, 0, name, ClipGrid(16.0, 16, 16))
    vocabulary = folder / "vocabulary.json"
    vocabulary.write_text(json.dumps({"min_count": 1, "words": words}))
    return manifest, vocabulary


@pytest.mark.campaign
@pytest.mark.parametrize("dataset", STREAMS)
@pytest.mark.parametrize("name", ["transformer", "topdown", "arb", "nacf"])
def test_a_captioner_of_published_size_trains_two_steps_and_captions_clips(
    tmp_path: Path, dataset: str, name: str
) -> None:
    corpus, vocabulary = write_clips(tmp_path, STREAMS[dataset])
    size = {"hidden": SIZES[dataset]["hidden"]} if name == "topdown" else SIZES[dataset]
    sampling = {"scheduled_sampling": 0.25, "scheduled_sampling_epochs": 25} if name == "topdown" else {}
    config = {
        **{"architecture": name, "features": {stream: [stream] for stream in STREAMS[dataset]}},
        **PUBLISHED,
        **REHEARSAL,
        **size,
        **sampling,
        "attributes": {"count": 500},
    }
    output = tmp_path / "captioner" / "manifest.json"
    inputs = ["--corpus", str(corpus), "--features", str(tmp_path / "features"), "--vocabulary", str(vocabulary)]
    arguments = ["--config", json.dumps(config), *inputs, "--state", str(tmp_path / "state"), "--output", str(output)]
    assert train_captioner.main(arguments) == 0
    bundle = load_captioner(output)
    assert bundle.attributes is not None
    assert len(bundle.attributes.words) == 500
    streams = bundle.open_features(tmp_path / "features", 1)
    sequences = annotated_sequences(Corpus.open(corpus), ["train"], streams.durations)[::CAPTIONS_PER_CLIP]
    batch = StreamCache(streams, 1.0).collate(sequences)
    rows = {stream: list(values.values.shape[1:]) for stream, values in batch.streams.items()}
    assert rows == {stream: [NUM_ROWS, dim] for stream, dim in STREAMS[dataset].items()}
    captions = bundle.captioner.generate(batch, BeamSearch(5, 1.0)).word_ids()
    assert len(captions) == NUM_CLIPS
    assert all(1 <= len(words) <= 28 for words in captions)
    assert list(bundle.captioner.predict_attributes(batch).shape) == [NUM_CLIPS, 500]
