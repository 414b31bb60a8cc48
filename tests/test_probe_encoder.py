"""Probes of stored features: clips get the labels that the annotations give them, and features that tell, tell."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.config.load import CONFIG, load
from pipeline.datasets.concepts import concepts
from pipeline.datasets.corpus import CAPTIONS, SEGMENTS, VIDEOS, Corpus
from pipeline.demo.annotations import caption_annotations, of_subset
from pipeline.demo.world import make_world
from pipeline.encoders.concept_labels import read_concepts
from pipeline.encoders.probe_labels import labelled
from pipeline.features.combined import ClipGrid, Features, write_features
from pipeline.io.tables import write_table
from pipeline.probe_encoder import main
from pipeline.provenance.manifest import write_manifest

GRID = ClipGrid(16.0, 16, 16)
"""One clip a second."""
WORDS = {
    "red": ("ADJ", ["red"]),
    "ball": ("NOUN", ["ball", "balls"]),
    "roll": ("VERB", ["rolls"]),
    "cat": ("NOUN", ["cat"]),
}


def write(folder: Path, *, telling: bool = True) -> tuple[Path, Path, Path]:
    """Videos of 10 s whose action, one of two, lasts from 2.5 to 7.5 s; a sentence covers the seconds 2 to 8.

    Args:
        folder: where.
        telling: whether the features tell action, region and colour; else they are noise.

    Returns:
        corpus, folder of features, concepts.
    """
    draw = np.random.default_rng(0)
    tables: dict[str, list[dict[str, Any]]] = {"videos": [], "segments": [], "captions": []}
    items = []
    for number in range(24):
        video, split = f"v_{number:02d}", "test" if number % 3 == 0 else "train"
        action, red = number % 2, number > 0 and number % 4 < 2
        tables["videos"].append({"video": video, "split": split, "shard": 0, "path": "x", "duration": 10.0})
        tables["segments"].append({"video": video, "start": 2.5, "end": 7.5, "label": f"action {action}"})
        sentence = f"A {'red' if red else 'green'} ball rolls." if number else "Nothing to see."
        tables["captions"].append({"video": video, "annotator": 1, "start": 2.0, "end": 8.0, "sentence": sentence})
        clips = 0.1 * draw.normal(size=(10, 4))
        clips[2:8] += telling * np.array([1.0, action, red, 0.0])
        items.append((video, 10.0, clips.astype(np.float32)))
    corpus = folder / "corpus" / "manifest.json"
    schemas = {"videos": VIDEOS, "segments": SEGMENTS, "captions": CAPTIONS}
    for name, rows in tables.items():
        write_table(corpus.with_name(f"{name}.parquet"), rows, schemas[name])
    write_manifest(corpus, sorted(corpus.parent.glob("*.parquet")), {"shards": 1})
    facts = {"encoder": "toy", "weights_sha256": "abc"}
    write_features(folder / "features" / "toy" / "0000" / "manifest.json", items, dim=4, grid=GRID, facts=facts)
    concepts = folder / "concepts.json"
    concepts.write_text(json.dumps([{"word": w, "pos": pos, "forms": forms} for w, (pos, forms) in WORDS.items()]))
    return corpus, folder / "features", concepts


def probe(folder: Path, config: str = "{}", *, telling: bool = True) -> dict[str, Any]:
    corpus, features, concepts = write(folder, telling=telling)
    words = ["--config", config, "--feature", "toy", "--corpus", str(corpus), "--features", str(features)]
    assert main([*words, "--concepts", str(concepts), "--output", str(folder / "probe.json")]) == 0
    found: dict[str, Any] = json.loads((folder / "probe.json").read_text())
    return found


def test_clips_show_what_they_lie_inside_of(tmp_path: Path) -> None:
    corpus, features, concepts = write(tmp_path)
    opened = Features.open(features, ["toy"], 1)
    found = labelled(Corpus.open(corpus), opened, ["train"], read_concepts(concepts))
    assert len(found.features) == 160
    # The clips of 2 to 3 and of 7 to 8 s lie across the action's borders.
    np.testing.assert_array_equal(found.region[:10], [0, 0, -1, 1, 1, 1, 1, -1, 0, 0])
    np.testing.assert_array_equal(found.action[:10], [-1, -1, -1, 1, 1, 1, 1, -1, -1, -1])
    np.testing.assert_array_equal(found.covered[:10], [0, 0, 1, 1, 1, 1, 1, 1, 0, 0])
    np.testing.assert_array_equal(found.concepts[5], [True, True, True, False])
    assert not found.concepts[0].any()
    np.testing.assert_array_equal(found.features[:10], opened.read("v_01"))


def test_features_that_tell_are_read_and_each_kind_of_word_is_measured_apart(tmp_path: Path) -> None:
    attributes = {"colour": ["red", "mauve"], "size": ["big"]}
    found = probe(tmp_path, json.dumps({"attributes": attributes}))
    assert (found["encoder"], found["weights_sha256"]) == ("toy", "abc")
    assert found["clips"] == {"train": 160, "test": 80}
    assert found["action"]["accuracy"] == 1.0
    assert (found["action"]["clips"], found["region"]["clips"]) == (32, 64)
    assert found["region"]["accuracy"] == 1.0
    assert found["region"]["majority"] == 0.5
    concepts = found["concepts"]
    assert concepts["each"].keys() == {"red", "ball", "roll"}, "nobody speaks of a cat"
    assert concepts["each"]["red"]["average_precision"] > 0.99
    assert concepts["each"]["red"]["chance"] == 0.375
    assert concepts["all"]["concepts"] == 3
    assert concepts["by_part_of_speech"]["NOUN"]["concepts"] == 1
    assert concepts["by_attribute"] == {"colour": {**concepts["by_part_of_speech"]["ADJ"]}, "size": None}


def test_noise_tells_little(tmp_path: Path) -> None:
    found = probe(tmp_path, telling=False)
    assert found["action"]["accuracy"] < 0.8
    assert found["region"]["accuracy"] < 0.75
    assert found["concepts"]["each"]["red"]["average_precision"] < 0.6


def test_equal_features_give_an_equal_file(tmp_path: Path) -> None:
    assert probe(tmp_path / "one") == probe(tmp_path / "other")


def test_a_split_without_clips_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    corpus, features, concepts = write(tmp_path)
    words = ["--config", '{"test_splits": ["val"]}', "--feature", "toy", "--corpus", str(corpus)]
    words += ["--features", str(features), "--concepts", str(concepts), "--output", str(tmp_path / "probe.json")]
    assert main(words) == 2
    assert "no clips of the split val to probe" in capsys.readouterr().err


def test_the_attributes_of_the_demo_are_words_that_its_annotators_use() -> None:
    config = load("demo", {}, Path(__file__).resolve().parents[1] / CONFIG)
    spoken = caption_annotations(of_subset(make_world(config.make_demo), "training"), 1, config.make_demo.seed)
    sentences = [sentence for video in spoken.values() for sentence in video["sentences"]]
    mining = config.mine_concepts.model_dump(exclude={"min_count", "vocabulary_splits"})
    mined = {concept["word"] for concept in concepts(sentences, **mining)}
    named = [word for words in config.probe_encoder.attributes.values() for word in words]
    assert len(named) == len(set(named))
    assert set(named) <= mined
    assert mined - set(named) <= {"screen", "place", "side", "see", "start", "move", "play", "sound", "can"}
