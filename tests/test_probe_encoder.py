"""Tests of the stage probe_encoder: labels of clips, and probes of informative and of random features."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.corpus_tables import write_corpus_tables

from pipeline.config.load import CONFIG, load_config
from pipeline.datasets.concept_mining import find_concepts
from pipeline.datasets.concepts import read_concepts
from pipeline.datasets.corpus import ActionSegment, CaptionedEvent, Corpus, CorpusVideo
from pipeline.demo.annotations import caption_annotations, select_subset
from pipeline.demo.plan import plan_videos
from pipeline.encoders.probe import build_probe_dataset
from pipeline.features.combined import CombinedFeatures
from pipeline.features.shard import write_shard
from pipeline.features.time_grid import ClipGrid
from pipeline.probe_encoder import main

GRID = ClipGrid(16.0, 16, 16)
"""One clip per second."""
WORDS = {
    "red": ("ADJ", ["red"]),
    "ball": ("NOUN", ["ball", "balls"]),
    "roll": ("VERB", ["rolls"]),
    "cat": ("NOUN", ["cat"]),
}


def write(folder: Path, *, informative: bool = True) -> tuple[Path, Path, Path]:
    """Videos of 10 s whose action, one of two, lasts from 2.5 to 7.5 s; a sentence covers the seconds 2 to 8.

    Args:
        folder: the folder to write to.
        informative: whether the features show action, region and colour; else they are noise.

    Returns:
        corpus, folder of features, concepts.
    """
    rng = np.random.default_rng(0)
    videos: list[CorpusVideo] = []
    segments: list[ActionSegment] = []
    captions: list[CaptionedEvent] = []
    items = []
    for number in range(24):
        video, split = f"v_{number:02d}", "test" if number % 3 == 0 else "train"
        action, red = number % 2, number > 0 and number % 4 < 2
        videos.append(CorpusVideo(video, split, 0, "x", 10.0))
        segments.append(ActionSegment(video, 2.5, 7.5, f"action {action}"))
        sentence = f"A {'red' if red else 'green'} ball rolls." if number else "Nothing to see."
        captions.append(CaptionedEvent(video, 1, 2.0, 8.0, sentence))
        clips = 0.1 * rng.normal(size=(10, 4))
        clips[2:8] += informative * np.array([1.0, action, red, 0.0])
        items.append((video, 10.0, clips.astype(np.float32)))
    corpus = folder / "corpus" / "manifest.json"
    write_corpus_tables(corpus, videos, segments, captions, metadata={"shards": 1})
    metadata = {"encoder": "toy", "weights_sha256": "abc"}
    write_shard(folder / "features" / "toy" / "0000" / "manifest.json", items, dim=4, grid=GRID, metadata=metadata)
    concepts = folder / "concepts.json"
    concepts.write_text(json.dumps([{"word": w, "pos": pos, "forms": forms} for w, (pos, forms) in WORDS.items()]))
    return corpus, folder / "features", concepts


def probe(folder: Path, config: str = "{}", *, informative: bool = True) -> dict[str, Any]:
    corpus, features, concepts = write(folder, informative=informative)
    arguments = ["--config", config, "--feature", "toy", "--corpus", str(corpus), "--features", str(features)]
    assert main([*arguments, "--concepts", str(concepts), "--output", str(folder / "probe.json")]) == 0
    scores: dict[str, Any] = json.loads((folder / "probe.json").read_text())
    return scores


def test_build_probe_dataset_labels_clips_by_the_segments_around_them(tmp_path: Path) -> None:
    corpus, features, concepts = write(tmp_path)
    opened = CombinedFeatures.open(features, ["toy"], 1)
    clips = build_probe_dataset(Corpus.open(corpus), opened, ["train"], read_concepts(concepts))
    assert len(clips.features) == 160
    # The clips from 2 to 3 s and from 7 to 8 s cross the borders of the action.
    np.testing.assert_array_equal(clips.region[:10], [0, 0, -1, 1, 1, 1, 1, -1, 0, 0])
    np.testing.assert_array_equal(clips.action[:10], [-1, -1, -1, 1, 1, 1, 1, -1, -1, -1])
    np.testing.assert_array_equal(clips.has_caption[:10], [0, 0, 1, 1, 1, 1, 1, 1, 0, 0])
    np.testing.assert_array_equal(clips.concepts[5], [True, True, True, False])
    assert not clips.concepts[0].any()
    np.testing.assert_array_equal(clips.features[:10], opened.read("v_01"))


def test_probes_read_informative_features_and_report_groups_of_concepts(tmp_path: Path) -> None:
    attributes = {"colour": ["red", "mauve"], "size": ["big"]}
    scores = probe(tmp_path, json.dumps({"attributes": attributes}))
    assert (scores["encoder"], scores["weights_sha256"]) == ("toy", "abc")
    assert scores["clips"] == {"train": 160, "test": 80}
    assert scores["action"]["accuracy"] == 1.0
    assert (scores["action"]["clips"], scores["region"]["clips"]) == (32, 64)
    assert scores["region"]["accuracy"] == 1.0
    assert scores["region"]["majority"] == 0.5
    concepts = scores["concepts"]
    assert concepts["each"].keys() == {"red", "ball", "roll"}, "no caption mentions a cat"
    assert concepts["each"]["red"]["average_precision"] > 0.99
    assert concepts["each"]["red"]["chance"] == 0.375
    assert concepts["all"]["concepts"] == 3
    assert concepts["by_part_of_speech"]["NOUN"]["concepts"] == 1
    assert concepts["by_attribute"] == {"colour": {**concepts["by_part_of_speech"]["ADJ"]}, "size": None}


def test_probes_of_noise_score_low(tmp_path: Path) -> None:
    scores = probe(tmp_path, informative=False)
    assert scores["action"]["accuracy"] < 0.8
    assert scores["region"]["accuracy"] < 0.75
    assert scores["concepts"]["each"]["red"]["average_precision"] < 0.6


def test_equal_features_give_an_equal_file(tmp_path: Path) -> None:
    assert probe(tmp_path / "first") == probe(tmp_path / "second")


def test_split_without_clips_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    corpus, features, concepts = write(tmp_path)
    arguments = ["--config", '{"test_splits": ["val"]}', "--feature", "toy", "--corpus", str(corpus)]
    arguments += ["--features", str(features), "--concepts", str(concepts), "--output", str(tmp_path / "probe.json")]
    assert main(arguments) == 2
    assert "no clips of the split val to probe" in capsys.readouterr().err


def test_attributes_of_the_demo_are_words_of_its_captions() -> None:
    config = load_config("demo", {}, Path(__file__).resolve().parents[1] / CONFIG)
    spoken = caption_annotations(select_subset(plan_videos(config.make_demo), "training"), 1, config.make_demo.seed)
    sentences = [sentence for video in spoken.values() for sentence in video["sentences"]]
    mining = config.mine_concepts.model_dump(exclude={"min_count", "vocabulary_splits", "word_split"})
    mined = {concept["word"] for concept in find_concepts(sentences, **mining)}
    named = [word for words in config.probe_encoder.attributes.values() for word in words]
    assert len(named) == len(set(named))
    assert set(named) <= mined
    assert mined - set(named) <= {"screen", "place", "side", "see", "start", "move", "play", "sound", "can"}
