"""The stage `analyze_localization`."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.corpus_tables import write_corpus_tables

from pipeline.analyze_localization import main
from pipeline.datasets.corpus import ActionSegment, CorpusVideo
from pipeline.features.shard import write_shard
from pipeline.features.time_grid import ClipGrid
from pipeline.io.atomic import write_json

GRID = ClipGrid(16.0, 16, 16)
"""One clip per second."""
DURATION = 40.0


def actions_of(number: int) -> list[tuple[float, float]]:
    return [(2.0 + number, 12.0 + number), (20.0, 36.0)] if number % 2 else [(4.0, 24.0)]


def write(folder: Path, videos: int = 6) -> Path:
    """Write a corpus, detections (each action, and one more) and two features: one shows the actions, one is noise."""
    rows = [CorpusVideo(f"v_{i}", "test", 0, "x", DURATION if i else None) for i in range(videos)]
    segments = [ActionSegment(f"v_{i}", *times, "jump") for i in range(videos) for times in actions_of(i)]
    detections = {
        f"v_{i}": [
            *({"segment": list(times), "score": 0.9, "label": "jump"} for times in actions_of(i)),
            {"segment": [0.0, 1.0], "score": 0.5, "label": "jump"},
        ]
        for i in range(videos)
    }
    write_json(folder / "detections" / "exact.json", {"version": "", "results": detections, "external_data": {}})
    draw = np.random.default_rng(0)
    for name, strength in (("good", 3.0), ("noise", 0.0)):
        items = []
        for i in range(videos):
            clips = draw.normal(size=(int(DURATION), 4))
            for start, end in actions_of(i):
                clips[int(start) : int(end), 0] += strength
            items.append((f"v_{i}", DURATION, clips.astype(np.float32)))
        manifest = folder / "features" / name / "0000" / "manifest.json"
        write_shard(manifest, items, dim=4, grid=GRID, metadata={"encoder": name})
    return write_corpus_tables(
        folder / "corpus" / "manifest.json", rows, segments, metadata={"shards": 1, "labels": ["jump", "run"]}
    )


def analyze(folder: Path, corpus: Path, **config: Any) -> int:
    settings = {"detections": ["exact"], "features": ["good", "noise"], "bootstrap": 50, **config}
    paths = {"corpus": corpus, "detections": folder / "detections", "features": folder / "features"}
    words = [word for name, path in paths.items() for word in (f"--{name}", str(path))]
    return main([*words, "--config", json.dumps(settings), "--output", str(folder / "out" / "test.json")])


def test_the_analysis_has_groups_errors_and_contrasts(tmp_path: Path) -> None:
    assert analyze(tmp_path, write(tmp_path), lengths=[12.0, 18.0], drawn_videos=2) == 0
    result = json.loads((tmp_path / "out" / "test.json").read_text())
    detections = result["detections"]["exact"]
    assert detections["mAP_N"]["mean"] == 1.0
    groups = detections["groups"]["length"]
    assert {name: groups[name]["instances"] for name in ("XS", "S", "M")} == {"XS": 3, "S": 3, "M": 3}
    assert sum(group["instances"] for name, group in detections["groups"]["coverage"].items() if name != "borders") == 8
    profile = detections["false_positives"]
    assert profile["counts"]["0.5"]["true_positive"] == 9
    assert profile["counts"]["0.5"]["background"] == 6
    good, noise = (result["features"][name] for name in ("good", "noise"))
    assert good["contrast"]["mean"] > 0.5 > noise["contrast"]["mean"]
    assert good["contrast"]["interval"][0] <= good["contrast"]["mean"] <= good["contrast"]["interval"][1]
    assert good["n_videos"] == 6


def test_the_analysis_is_a_document_with_pictures(tmp_path: Path) -> None:
    assert analyze(tmp_path, write(tmp_path)) == 0
    document = (tmp_path / "out" / "test.md").read_text()
    assert "`exact`" in document
    assert "`noise`" in document
    for name in ("test.png", "test_similarity.png"):
        assert (tmp_path / "out" / name).read_bytes().startswith(b"\x89PNG")


def test_equal_inputs_give_equal_files_and_a_finished_analysis_is_published_again(tmp_path: Path) -> None:
    corpus = write(tmp_path)
    names = ("test.json", "test.md", "test.png", "test_similarity.png", "test.provenance.json")
    assert analyze(tmp_path, corpus) == 0
    before = {name: (tmp_path / "out" / name).read_bytes() for name in names}
    for name in names[:4]:
        (tmp_path / "out" / name).unlink()
    assert analyze(tmp_path, corpus) == 0
    assert {name: (tmp_path / "out" / name).read_bytes() for name in names} == before


def test_features_without_any_contrast_have_none(tmp_path: Path) -> None:
    corpus = write(tmp_path)
    rows = [CorpusVideo("v_0", "test", 0, "x", DURATION)]
    write_corpus_tables(corpus, rows, [ActionSegment("v_0", 0.0, 40.0, "jump")], metadata={"shards": 1})
    assert analyze(tmp_path, corpus) == 0
    result = json.loads((tmp_path / "out" / "test.json").read_text())
    assert result["features"] == {"good": None, "noise": None}


def test_detections_of_other_videos_alone_are_all_misses(tmp_path: Path) -> None:
    corpus = write(tmp_path)
    results = {"other": [{"segment": [0.0, 5.0], "score": 0.5, "label": "jump"}]}
    write_json(tmp_path / "detections" / "exact.json", {"version": "", "results": results, "external_data": {}})
    assert analyze(tmp_path, corpus) == 0
    result = json.loads((tmp_path / "out" / "test.json").read_text())["detections"]["exact"]
    assert result["mAP_N"]["mean"] == 0
    assert result["n_detections"] == 0
    assert result["false_positives"]["fractions"] is None


def test_a_corpus_without_actions_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    corpus = write(tmp_path)
    write_corpus_tables(corpus, [CorpusVideo("v_0", "test", 0, "x", DURATION)], [], metadata={"shards": 1})
    assert analyze(tmp_path, corpus) == 2
    assert "test" in capsys.readouterr().err
