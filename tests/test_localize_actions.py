"""Localize actions, as a command, and score the detections."""

import json
from pathlib import Path
from typing import Any

import pytest
from helpers.action_corpus import ActionCorpus, small_localizer, training_words, write_action_corpus
from helpers.campaigns import quick_cases

from pipeline import evaluate_localization, localize_actions, train_localizer
from pipeline.config.localizers import LOCALIZERS
from pipeline.datasets.corpus import ActionSegment
from pipeline.io.atomic import read_json, sha256

TRAINING = {"epochs": 20, "lr_decay_every": 15}
"""Settings with which a localizer learns the actions of the small corpus."""
TRAININGS = {"pgcn": {"epochs": 10, "lr": 0.02, "repeats": 1, "batch_size": 2}}
"""The same, of kinds that need others."""


def train(corpus: ActionCorpus, kind: str, name: str = "one", **settings: Any) -> Path:
    """Train a localizer; return its manifest."""
    folder = corpus.folder / name
    assert train_localizer.main(training_words(corpus, small_localizer(kind, **settings), folder)) == 0
    return folder / "localizer" / "manifest.json"


def words(corpus: ActionCorpus, kind: str, *localizers: Path, **settings: Any) -> list[str]:
    """Return the command line of `localize_actions`."""
    spec = LOCALIZERS[kind].settings
    names = [{"localizer": path.parent.parent.name} for path in localizers]
    config = {"localizers": names, "classifier": None if spec.has_classes else "learned", **settings}
    line = ["--config", json.dumps(config), *corpus.arguments(), "--localizers", *map(str, localizers)]
    if not spec.has_classes:
        line += ["--classes", str(corpus.classes)]
    if spec.reads_proposals:
        line += ["--proposals", str(corpus.proposals)]
    return [*line, "--output", str(corpus.folder / "detections.json")]


def score(corpus: ActionCorpus, task: str, **settings: Any) -> dict[str, Any]:
    output = corpus.folder / f"{task}-scores.json"
    line = ["--config", json.dumps(settings), "--task", task, "--corpus", str(corpus.manifest)]
    line += ["--detections", str(corpus.folder / "detections.json"), "--split", "test", "--output", str(output)]
    assert evaluate_localization.main(line) == 0
    scores: dict[str, Any] = read_json(output)
    return scores


def detections(corpus: ActionCorpus) -> dict[str, list[dict[str, Any]]]:
    results: dict[str, list[dict[str, Any]]] = read_json(corpus.folder / "detections.json")["results"]
    return results


@pytest.mark.parametrize("kind", quick_cases(LOCALIZERS, 1))
def test_a_localizer_learns_the_actions(tmp_path: Path, kind: str) -> None:
    corpus = write_action_corpus(tmp_path, {"train": 16, "val": 2, "test": 4})
    manifest = train(corpus, kind, **TRAININGS.get(kind, TRAINING))
    assert localize_actions.main(words(corpus, kind, manifest)) == 0
    of_videos = detections(corpus)
    assert of_videos.keys() == {f"v_test{i}" for i in range(4)} | {f"v_val{i}" for i in range(2)}
    for of_video in of_videos.values():
        scores = [one["score"] for one in of_video]
        assert scores == sorted(scores, reverse=True)
        assert all(0 <= one["segment"][0] < one["segment"][1] <= 12 for one in of_video)
    scores = score(corpus, "detections", tious=[0.3, 0.5, 0.7])
    assert list(scores["mAP"]) == ["0.3", "0.5", "0.7", "mean"]
    assert scores["mAP"]["0.3"] > 0.6
    recall = score(corpus, "proposals")
    assert recall["AR"]["100"] > 0.6
    assert recall["n_proposals"] <= scores["n_detections"]


def test_two_localizers_are_fused(tmp_path: Path) -> None:
    corpus = write_action_corpus(tmp_path, {"train": 4, "test": 2})
    first, second = (train(corpus, "gtad", name, seed=seed, epochs=1) for name, seed in (("a", 0), ("b", 1)))
    results = []
    for localizers in ((first,), (second,), (first, second)):
        assert localize_actions.main(words(corpus, "gtad", *localizers)) == 0
        results.append(detections(corpus))
    alone, other, fused = ({video: of_video[0]["score"] for video, of_video in result.items()} for result in results)
    assert fused not in (alone, other)
    assert localize_actions.main(words(corpus, "gtad", first, first)) == 2  # named twice


def test_localizers_of_two_kinds_cannot_be_fused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    corpus = write_action_corpus(tmp_path, {"train": 4, "test": 2})
    first, second = train(corpus, "gtad", "a", epochs=1), train(corpus, "bmn", "b", epochs=1)
    assert localize_actions.main(words(corpus, "gtad", first, second)) == 2
    error = capsys.readouterr().err
    assert str(second) in error
    assert "bmn" in error
    other = train(corpus, "gtad", "c", epochs=1, temporal_scale=20)
    assert localize_actions.main(words(corpus, "gtad", first, other)) == 2
    assert "v_test0" in capsys.readouterr().err


def test_finished_detections_are_published_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    corpus = write_action_corpus(tmp_path, {"train": 4, "test": 2})
    line = words(corpus, "gtad", train(corpus, "gtad", epochs=1))
    assert localize_actions.main(line) == 0
    digest = sha256(tmp_path / "detections.json")
    (tmp_path / "detections.json").unlink()
    assert localize_actions.main(line) == 0
    assert sha256(tmp_path / "detections.json") == digest
    assert "published again" in capsys.readouterr().err


def test_class_scores_of_other_classes_name_the_first_difference(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    corpus = write_action_corpus(tmp_path, {"train": 4, "test": 1})
    line = words(corpus, "gtad", train(corpus, "gtad", epochs=1))
    corpus.classes.write_text(json.dumps({"classes": ["jump", "slide"], "scores": {"v_test0": [0.5, 0.5]}}))
    assert localize_actions.main(line) == 2
    error = capsys.readouterr().err
    assert "classes.json" in error
    assert "'slide'" in error
    assert "'roll'" in error
    corpus.classes.write_text(json.dumps({"classes": ["jump"], "scores": {"v_test0": [0.5]}}))
    assert localize_actions.main(line) == 2
    assert "1 classes" in capsys.readouterr().err


def test_videos_without_class_scores_are_named_and_get_no_detections(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    corpus = write_action_corpus(tmp_path, {"train": 4, "test": 2})
    line = words(corpus, "gtad", train(corpus, "gtad", epochs=1))
    corpus.classes.write_text(json.dumps({"classes": ["jump", "roll"], "scores": {"v_test1": [0.5, 0.5]}}))
    assert localize_actions.main(line) == 0
    assert detections(corpus).keys() == {"v_test1"}
    assert "v_test0" in capsys.readouterr().err
    assert score(corpus, "detections")["n_missing_videos"] == 1
    corpus.classes.write_text(json.dumps({"classes": ["jump", "roll"], "scores": {}}))
    assert localize_actions.main(line) == 2
    assert "class scores" in capsys.readouterr().err


def test_only_the_best_classes_of_a_video_get_its_segments(tmp_path: Path) -> None:
    corpus = write_action_corpus(tmp_path, {"train": 4, "test": 2})
    manifest = train(corpus, "gtad", epochs=1)
    assert localize_actions.main(words(corpus, "gtad", manifest, top_classes=1)) == 0
    expected = {video: one[0]["label"] for video, one in detections(corpus).items()}
    truth = json.loads(corpus.classes.read_text())["scores"]
    assert expected == {video: ("jump", "roll")[int(truth[video][1] > 0.5)] for video in expected}
    assert all(one["label"] == expected[video] for video, of_video in detections(corpus).items() for one in of_video)


def test_a_localizer_without_classes_needs_class_scores(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    corpus = write_action_corpus(tmp_path, {"train": 4, "test": 1})
    line = words(corpus, "gtad", train(corpus, "gtad", epochs=1))
    at = line.index("--classes")
    assert localize_actions.main(line[:at] + line[at + 2 :]) == 2
    assert "--classes" in capsys.readouterr().err


def test_a_localizer_of_other_classes_must_be_trained_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    corpus = write_action_corpus(tmp_path / "a", {"train": 4, "test": 1})
    other = write_action_corpus(tmp_path / "b", {"train": 4, "test": 1}, labels=("jump", "slide"))
    assert localize_actions.main(words(other, "gtad", train(corpus, "gtad", epochs=1))) == 2
    assert "other classes" in capsys.readouterr().err


def test_videos_without_features_count_as_missed_and_segments_outside_a_video_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    corpus = write_action_corpus(
        tmp_path,
        {"train": 4, "test": 2},
        featureless=["v_test0", "v_train1"],
        extra_segments=[ActionSegment("v_train0", 900.0, 910.0, "jump")],
    )
    manifest = train(corpus, "gtad", epochs=1)
    log = capsys.readouterr().err
    assert "v_train1" in log
    assert "v_train0" in log
    assert localize_actions.main(words(corpus, "gtad", manifest)) == 0
    scores = score(corpus, "detections")
    assert scores["n_missing_videos"] == 1
    assert scores["n_instances"] == 4
