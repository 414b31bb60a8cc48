"""The stage `compare_localization`: scores of encoders, differences, published numbers."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.corpus_tables import write_corpus_tables

from pipeline.compare_localization import main
from pipeline.config.evaluate_localization import EvaluateLocalization
from pipeline.datasets.corpus import ActionSegment, Corpus, CorpusVideo
from pipeline.evaluation.localization_result import score_localization
from pipeline.evaluation.segments import read_scored_segments
from pipeline.features.shard import write_shard
from pipeline.features.time_grid import ClipGrid
from pipeline.io.atomic import write_json

GRID = ClipGrid(16.0, 16, 16)
"""One clip per second."""
DURATION, VIDEOS, LABELS = 30.0, 8, ("jump", "run")
SHIFTS = {"good": 0.5, "bad": 4.0}
"""By how much the detections of an encoder miss the actions [s]."""


def write_dataset(results: Path, name: str, seed: int) -> None:
    """Write a corpus with detections and features of two encoders."""
    draw = np.random.default_rng(seed)
    starts = draw.uniform(2, 14, VIDEOS)
    folder = results / name
    rows = [CorpusVideo(f"v_{i}", "test", 0, "x", DURATION) for i in range(VIDEOS)]
    actions = {f"v_{i}": (float(start), float(start + 10), LABELS[i % 2]) for i, start in enumerate(starts)}
    segments = [ActionSegment(video, *action) for video, action in actions.items()]
    write_corpus_tables(folder / "corpus" / "manifest.json", rows, segments, metadata={"shards": 1})
    for encoder, shift in SHIFTS.items():
        results_of = {
            video: [
                {"segment": [start + shift * draw.random(), end], "score": float(draw.random()), "label": label}
                for _ in range(3)
            ]
            for video, (start, end, label) in actions.items()
        }
        write_json(
            folder / "detections" / f"{encoder}.json", {"version": "", "results": results_of, "external_data": {}}
        )
        items = []
        for video, (start, end, _) in actions.items():
            clips = draw.normal(size=(int(DURATION), 4))
            clips[int(start) : int(end), 0] += 4 - shift
            items.append((video, DURATION, clips.astype(np.float32)))
        manifest = folder / "features" / encoder / "0000" / "manifest.json"
        write_shard(manifest, items, dim=4, grid=GRID, metadata={"encoder": encoder})


def system(name: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "detections": {"gtad": name}, "proposals": {"bmn": name}, "feature": name, **more}


def compare(results: Path, **config: Any) -> int:
    pairs = [{"system": "good", "compared_to": "bad"}]
    settings = {"systems": [system("good"), system("bad")], "pairs": pairs, "bootstrap": 60, **config}
    words = ["--config", json.dumps(settings), "--dataset", str(results / "toy")]
    return main([*words, "--output", str(results / "toy_localization.json")])


def read(results: Path) -> dict[str, Any]:
    data: dict[str, Any] = json.loads((results / "toy_localization.json").read_text())
    return data


def test_scores_are_those_of_the_evaluators(tmp_path: Path) -> None:
    write_dataset(tmp_path, "toy", 0)
    assert compare(tmp_path) == 0
    corpus = Corpus.open(tmp_path / "toy" / "corpus" / "manifest.json")
    for row in read(tmp_path)["systems"]:
        segments = read_scored_segments(tmp_path / "toy" / "detections" / f"{row['name']}.json", True)
        scores = score_localization(EvaluateLocalization(), corpus, ["test"], "detections", segments)
        detections = row["scores"]["detections"]["gtad"]
        assert detections["mAP"]["mean"] == pytest.approx(scores["mAP"]["mean"], abs=1e-12)
        assert detections["mAP@0.75"]["mean"] == pytest.approx(scores["mAP"]["0.75"], abs=1e-12)
        recall = score_localization(EvaluateLocalization(), corpus, ["test"], "proposals", segments)
        proposals = row["scores"]["proposals"]["bmn"]
        assert proposals["AUC"]["mean"] == pytest.approx(recall["AUC"], abs=1e-12)
        assert proposals["AR@1"]["mean"] == pytest.approx(recall["AR"]["1"], abs=1e-12)


def test_intervals_hold_the_scores_and_differences_are_paired(tmp_path: Path) -> None:
    write_dataset(tmp_path, "toy", 0)
    assert compare(tmp_path) == 0
    result = read(tmp_path)
    good, bad = (row["scores"] for row in result["systems"])
    for scores in (good, bad):
        for metric in ("mAP", "mAP@0.9"):
            value = scores["detections"]["gtad"][metric]
            assert value["interval"][0] - 1e-9 <= value["mean"] <= value["interval"][1] + 1e-9
    (difference,) = result["differences"]
    gain = difference["scores"]["detections"]["gtad"]["mAP"]
    expected = good["detections"]["gtad"]["mAP"]["mean"] - bad["detections"]["gtad"]["mAP"]["mean"]
    assert gain["mean"] == pytest.approx(expected)
    assert gain["interval"][0] > 0
    assert difference["scores"]["features"]["region"]["contrast"]["mean"] > 0


def test_seeds_are_averaged(tmp_path: Path) -> None:
    for seed in (1, 2, 3):
        write_dataset(tmp_path, f"toy_s{seed}", seed)
    assert compare(tmp_path, seeds=[1, 2, 3]) == 0
    value = read(tmp_path)["systems"][0]["scores"]["detections"]["gtad"]["mAP"]
    assert len(set(value["by_seed"])) == 3
    assert value["mean"] == pytest.approx(np.mean(value["by_seed"]))
    assert read(tmp_path)["videos"] == [VIDEOS] * 3


def test_published_scores_and_captions_stand_beside_ours(tmp_path: Path) -> None:
    write_dataset(tmp_path, "toy", 0)
    meteor = {"mean": 0.0875, "by_seed": [0.0875]}
    row = {"name": "captioner", "scores": {"learned": {"METEOR": meteor}}}
    write_json(tmp_path / "toy_pretraining.json", {"systems": [row]})
    captions = {"bmt": {"comparison": "pretraining", "system": "captioner"}}
    published = {"paper": {"detections": {"gtad": {"mAP": 35.81}}, "captions": {"bmt": {"METEOR": 8.75}}}}
    systems = [system("good", label="TSP", captions=captions, published=published), system("bad")]
    assert compare(tmp_path, systems=systems) == 0
    result = read(tmp_path)
    assert result["systems"][0]["scores"]["captions"]["bmt"]["METEOR"] == meteor
    document = (tmp_path / "toy_localization.md").read_text()
    assert "| TSP, paper | 35.81 |" in document
    assert "| TSP | 8.75 |" in document
    assert (tmp_path / "toy_localization.png").read_bytes().startswith(b"\x89PNG")


def test_captions_that_the_comparison_lacks_are_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_dataset(tmp_path, "toy", 0)
    write_json(tmp_path / "toy_pretraining.json", {"systems": []})
    captions = {"bmt": {"comparison": "pretraining", "system": "captioner"}}
    assert compare(tmp_path, systems=[system("good", captions=captions), system("bad")]) == 2
    assert "captioner" in capsys.readouterr().err


def test_a_finished_study_is_published_again(tmp_path: Path) -> None:
    write_dataset(tmp_path, "toy", 0)
    assert compare(tmp_path) == 0
    names = [f"toy_localization.{suffix}" for suffix in ("json", "md", "png", "provenance.json")]
    before = {name: (tmp_path / name).read_bytes() for name in names}
    for name in names[:3]:
        (tmp_path / name).unlink()
    assert compare(tmp_path) == 0
    assert {name: (tmp_path / name).read_bytes() for name in names} == before


@pytest.mark.parametrize(
    ("config", "named"),
    [
        ({"systems": [system("good"), system("good")]}, "good"),
        ({"pairs": [{"system": "good", "compared_to": "other"}]}, "other"),
        ({"systems": []}, "systems"),
    ],
)
def test_wrong_settings_are_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], config: dict[str, Any], named: str
) -> None:
    assert compare(tmp_path, **config) == 2
    error = capsys.readouterr().err
    assert named in error
    assert error.count("\n") == 1


def test_a_missing_file_of_detections_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_dataset(tmp_path, "toy", 0)
    (tmp_path / "toy" / "detections" / "bad.json").unlink()
    assert compare(tmp_path) == 2
    assert "bad.json" in capsys.readouterr().err
