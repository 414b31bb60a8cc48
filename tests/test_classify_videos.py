"""The stage `classify_videos`: a classifier of pooled features, and class scores of files."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.corpus_tables import write_corpus_tables

from pipeline.classify_videos import main
from pipeline.datasets.corpus import ActionSegment, CorpusVideo
from pipeline.features.pooled import write_pooled
from pipeline.localization.class_fusion import read_class_scores

LABELS = ["jump", "run", "swim"]
SPLITS = ("train", "train", "val", "test")


def write_corpus(folder: Path, labels: list[str] = LABELS, names: str = "v_{:02d}", number: int = 36) -> Path:
    """Write a corpus of videos with one action each; the classes take turns."""
    videos = [CorpusVideo(names.format(i), SPLITS[i // 3 % 4], 0, "x", 10.0) for i in range(number)]
    segments = [ActionSegment(row.video, 2.0, 8.0, labels[i % len(labels)]) for i, row in enumerate(videos)]
    segments.append(ActionSegment(videos[0].video, 0.0, 1.0, None))
    manifest = folder / "corpus" / "manifest.json"
    return write_corpus_tables(manifest, videos, segments, metadata={"shards": 1, "labels": labels})


def write_features(folder: Path, number: int = 36, *, change: dict[int, float] | None = None) -> Path:
    """Write pooled features, whose mean shows the class of a video, if the classes take turns among three."""
    draw = np.random.default_rng(0)
    items = []
    for i in range(number):
        vector = 0.3 * draw.normal(size=5)
        vector[i % 3] += 1.0
        vector[4] = (change or {}).get(i, vector[4])
        items.append((f"v_{i:02d}", {"mean": vector, "max": draw.normal(size=5)}))
    manifest = folder / "video_features" / "toy" / "manifest.json"
    write_pooled(manifest, items, {"feature": "toy"})
    return manifest


def classify(folder: Path, config: dict[str, Any], corpus: Path, *features: Path) -> int:
    words = ["--config", json.dumps(config), "--corpus", str(corpus), "--output", str(folder / "classes.json")]
    return main([*words, "--features", *map(str, features)])


def learned(**settings: Any) -> dict[str, Any]:
    return {"kind": "learned", "features": ["toy"], **settings}


def test_a_classifier_finds_the_class_of_other_videos(tmp_path: Path) -> None:
    assert classify(tmp_path, learned(), write_corpus(tmp_path), write_features(tmp_path)) == 0
    result = json.loads((tmp_path / "classes.json").read_text())
    assert result["classes"] == LABELS
    assert result["missing"] == []
    assert result["accuracy"]["test"] == {"accuracy": pytest.approx(1.0, abs=0.12), "videos": 9}
    scores = read_class_scores(tmp_path / "classes.json")
    assert len(scores.by_video) == 36
    assert scores.of_video("v_05").sum() == pytest.approx(1.0, abs=1e-5)
    assert (tmp_path / "classes.provenance.json").is_file()


def test_another_pooling_gives_other_scores(tmp_path: Path) -> None:
    corpus, features = write_corpus(tmp_path), write_features(tmp_path)
    assert classify(tmp_path, learned(pools=["max"]), corpus, features) == 0
    result = json.loads((tmp_path / "classes.json").read_text())
    assert result["accuracy"]["test"]["accuracy"] < 0.8


def test_a_finished_classifier_is_published_again(tmp_path: Path) -> None:
    corpus, features = write_corpus(tmp_path), write_features(tmp_path)
    assert classify(tmp_path, learned(), corpus, features) == 0
    output = tmp_path / "classes.json"
    before, record = output.read_bytes(), output.with_name("classes.provenance.json").read_bytes()
    output.unlink()
    assert classify(tmp_path, learned(), corpus, features) == 0
    assert output.read_bytes() == before
    assert output.with_name("classes.provenance.json").read_bytes() == record


def test_videos_without_features_are_listed(tmp_path: Path) -> None:
    assert classify(tmp_path, learned(), write_corpus(tmp_path), write_features(tmp_path, 34)) == 0
    result = json.loads((tmp_path / "classes.json").read_text())
    assert result["missing"] == ["v_34", "v_35"]
    assert not {"v_34", "v_35"} & result["scores"].keys()


def test_one_class_only_gets_all_the_probability(tmp_path: Path) -> None:
    assert classify(tmp_path, learned(), write_corpus(tmp_path, ["jump"]), write_features(tmp_path)) == 0
    scores = read_class_scores(tmp_path / "classes.json")
    assert all(values.tolist() == [1.0] for values in scores.by_video.values())


def test_a_class_without_training_videos_gets_score_0(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    corpus = write_corpus(tmp_path)
    labels = [*LABELS, "fly"]
    manifest = json.loads(corpus.read_text())
    manifest["metadata"]["labels"] = labels
    corpus.write_text(json.dumps(manifest))
    assert classify(tmp_path, learned(), corpus, write_features(tmp_path)) == 0
    assert read_class_scores(tmp_path / "classes.json").of_video("v_07")[3] == 0
    assert "fly" in capsys.readouterr().err


def test_nan_in_features_names_the_video(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    features = write_features(tmp_path, change={7: float("nan")})
    assert classify(tmp_path, learned(), write_corpus(tmp_path), features) == 2
    assert "v_07" in capsys.readouterr().err


def test_features_of_other_videos_are_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert classify(tmp_path, learned(), write_corpus(tmp_path, names="v_x{:02d}"), write_features(tmp_path)) == 2
    assert "train" in capsys.readouterr().err


def test_the_features_must_be_those_of_the_settings(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert classify(tmp_path, learned(), write_corpus(tmp_path)) == 2
    assert "--features" in capsys.readouterr().err


def write_cuhk(path: Path, classes: list[str], number: int = 36) -> dict[str, Any]:
    """Write a file like CUHK's: ids without `v_`."""
    scores = np.random.default_rng(1).random((number, len(classes)))
    path.write_text(
        json.dumps({"results": {f"{i:02d}": row.tolist() for i, row in enumerate(scores)}, "class": classes})
    )
    return {"kind": "file", "path": str(path)}


def test_class_scores_of_json_come_in_the_order_of_the_corpus(tmp_path: Path) -> None:
    config = write_cuhk(tmp_path / "cuhk.json", LABELS[::-1], 30)
    assert classify(tmp_path, config, write_corpus(tmp_path)) == 0
    expected = json.loads((tmp_path / "cuhk.json").read_text())["results"]["04"][::-1]
    scores = read_class_scores(tmp_path / "classes.json")
    assert scores.classes == tuple(LABELS)
    np.testing.assert_allclose(scores.of_video("v_04"), expected, rtol=1e-5)
    assert json.loads((tmp_path / "classes.json").read_text())["missing"] == [f"v_{i}" for i in range(30, 36)]


@pytest.mark.parametrize(
    ("classes", "named"),
    [
        (["jump", "swim"], ["'run'", "2 classes", "3"]),
        (["jump", "swim", "running"], ["'run'", "'running'"]),
        (["jump", "swim", "run", "fly"], ["'fly'"]),
        (["jump", "swim", "run", "run"], ["'run'"]),
    ],
)
def test_other_classes_are_an_error_that_names_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], classes: list[str], named: list[str]
) -> None:
    config = write_cuhk(tmp_path / "cuhk.json", classes)
    assert classify(tmp_path, config, write_corpus(tmp_path)) == 2
    message = capsys.readouterr().err
    assert message.count("\n") == 1
    assert all(name in message for name in ["cuhk.json", *named])


def test_more_classes_can_be_dropped(tmp_path: Path) -> None:
    config = write_cuhk(tmp_path / "cuhk.json", ["fly", *LABELS])
    assert classify(tmp_path, {**config, "other_classes": "drop"}, write_corpus(tmp_path)) == 0
    expected = json.loads((tmp_path / "cuhk.json").read_text())["results"]["04"][1:]
    np.testing.assert_allclose(read_class_scores(tmp_path / "classes.json").of_video("v_04"), expected, rtol=1e-5)


def test_a_file_of_other_videos_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = write_cuhk(tmp_path / "cuhk.json", LABELS)
    assert classify(tmp_path, config, write_corpus(tmp_path, names="v_x{:02d}")) == 2
    assert "cuhk.json" in capsys.readouterr().err


def write_array(folder: Path, array: np.ndarray, classes: str) -> dict[str, Any]:
    np.save(folder / "net.npy", array)
    (folder / "classes.txt").write_text(classes)
    files = {"path": str(folder / "net.npy"), "classes": str(folder / "classes.txt")}
    return {"kind": "file", **files, "id_prefix": "video_test_", "other_classes": "drop"}


@pytest.mark.parametrize("classes", ["fly\nswim\nrun\njump\n", "1 fly\n2 swim\n3 run\n4 jump\n"])
def test_a_row_of_an_array_is_found_by_the_number_of_the_video(tmp_path: Path, classes: str) -> None:
    array = np.random.default_rng(2).random((140, 4)).astype(np.float32)
    corpus = write_corpus(tmp_path, names="video_test_0000{:03d}", number=36)
    config = write_array(tmp_path, array, classes)
    assert classify(tmp_path, config, corpus) == 2  # there is no video 0
    corpus = write_corpus(tmp_path, names="video_test_00001{:02d}")
    assert classify(tmp_path, config, corpus) == 0
    scores = read_class_scores(tmp_path / "classes.json")
    np.testing.assert_allclose(scores.of_video("video_test_0000105"), array[104, [3, 2, 1]], rtol=1e-5)


@pytest.mark.parametrize(
    ("array", "named"),
    [
        (np.ones((200, 3)), ["3 columns", "4"]),
        (np.ones(200), ["net.npy"]),
        (np.ones((20, 4)), ["20 rows", "video_test_100"]),
        (np.full((200, 4), np.nan), ["video_test_100"]),
        (np.full((200, 4), "x"), ["net.npy"]),
    ],
)
def test_a_wrong_array_names_what_is_wrong(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], array: np.ndarray, named: list[str]
) -> None:
    config = write_array(tmp_path, array, "fly\nswim\nrun\njump\n")
    assert classify(tmp_path, config, write_corpus(tmp_path, names="video_test_1{:02d}")) == 2
    message = capsys.readouterr().err
    assert all(name in message for name in named)


def test_an_array_of_objects_is_not_executed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = write_array(tmp_path, np.ones((200, 4)), "fly\nswim\nrun\njump\n")
    np.save(tmp_path / "net.npy", np.array([{"a": 1}], object), allow_pickle=True)
    assert classify(tmp_path, config, write_corpus(tmp_path, names="video_test_1{:02d}")) == 2
    assert "net.npy" in capsys.readouterr().err


@pytest.mark.parametrize("key", ["classes", "id_prefix"])
def test_an_array_needs_classes_and_ids(tmp_path: Path, capsys: pytest.CaptureFixture[str], key: str) -> None:
    config = write_array(tmp_path, np.ones((200, 4)), "fly\nswim\nrun\njump\n")
    assert classify(tmp_path, {**config, key: None}, write_corpus(tmp_path)) == 2
    assert key in capsys.readouterr().err
