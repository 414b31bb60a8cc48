"""The stages after the training of a recognizer: predictions, scores, features, transfer, Grad-CAM."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.recognizers import RecognizerFiles, train_recognizers

from pipeline import (
    evaluate_recognition,
    extract_features,
    recognize_clips,
    render_grad_cam,
    transfer_features,
)
from pipeline.encoders.two_channel.predictions import ClipPredictions
from pipeline.features.combined import CombinedFeatures
from pipeline.io.atomic import read_json
from pipeline.video.decode import read_frames


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> RecognizerFiles:
    learns_well: dict[str, Any] = {"epochs": 14, "patience": 20, "encoder_dim": 32}
    return train_recognizers(
        tmp_path_factory.mktemp("recognizers"),
        fine={**learns_well, "captions": None},
        coarse={**learns_well, "captions": None, "classes": "groups"},
        joint={"epochs": 1},
    )


def recognize(files: RecognizerFiles, folder: Path, name: str) -> Path:
    output = folder / name / "test" / "manifest.json"
    words = [*files.words, "--split", "test", "--recognizer", str(files.recognizers[name]), "--output", str(output)]
    assert recognize_clips.main([*words, "--config", '{"workers": 0, "device": "cpu"}']) == 0
    return output


@pytest.fixture(scope="module")
def predictions(files: RecognizerFiles, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("recognition")
    return {name: recognize(files, folder, name) for name in files.recognizers}


def test_predictions_are_of_the_test_clips(predictions: dict[str, Path]) -> None:
    fine, joint = (ClipPredictions.read(predictions[name]) for name in ("fine", "joint"))
    assert fine.videos == joint.videos == [f"v_test{number}" for number in range(4)]
    assert fine.classes == ["glow blue", "glow red"]
    np.testing.assert_allclose(np.exp(fine.class_log_probs).sum(1), 1, atol=1e-5)
    assert fine.caption_ids.shape == (4, 0)
    assert joint.tokens is not None
    assert joint.caption_ids.shape == (4, joint.tokens.length)


def test_scores_of_classes_groups_and_captions(
    files: RecognizerFiles, predictions: dict[str, Path], tmp_path: Path
) -> None:
    output = tmp_path / "recognition.json"
    words = ["--split", "test", "--corpus", str(files.corpus.corpus), "--labels", str(files.labels)]
    words += ["--predictions", *map(str, predictions.values()), "--output", str(output)]
    assert evaluate_recognition.main([*words, "--config", '{"cutoff": 0}']) == 0
    result = read_json(output)
    assert (result["clips"], result["classes"], result["groups"]) == (4, 2, 2)
    assert result["classes_without_training_clips"] == []
    scores = result["recognizers"]
    assert scores.keys() == {"fine", "coarse", "joint"}
    assert scores["fine"]["class"] == {"top1": 1.0, "top5": 1.0}
    assert scores["fine"]["group"]["accuracy"] == 1.0
    # Each class has one caption, so the most likely one is right.
    assert scores["fine"]["most_likely_caption"]["full"]["exact_match"] == 1.0
    assert scores["fine"]["most_likely_caption"]["full"]["METEOR"] > 0.99
    assert "caption" not in scores["fine"]
    # Each group has one class.
    assert scores["coarse"]["group"]["accuracy"] == 1.0
    assert scores["coarse"]["class"] == {"majority_in_predicted_group": 1.0}
    assert scores["joint"]["caption"].keys() == {"kind", "vocabulary", "exact_match", "Bleu_4", "ROUGE_L", "METEOR"}


def test_a_split_without_clips_is_one_error(
    files: RecognizerFiles, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [
        "--split",
        "enlarged",
        "--recognizer",
        str(files.recognizers["fine"]),
        "--output",
        str(tmp_path / "m.json"),
    ]
    assert recognize_clips.main([*files.words, *words]) == 2
    assert "enlarged" in capsys.readouterr().err


def extract(files: RecognizerFiles, folder: Path, name: str) -> None:
    for shard in ("0000", "0001"):
        videos = files.corpus.videos / shard / "manifest.json"
        output = folder / name / shard / "manifest.json"
        words = [
            "--config",
            json.dumps({"recognizer": name, "batch_size": 2, "device": "cpu"}),
            "--videos",
            str(videos),
        ]
        words += ["--encoder", str(files.recognizers[name]), "--output", str(output)]
        assert extract_features.main(words) == 0


def test_a_recognizer_is_a_feature_with_a_vector_per_frame(files: RecognizerFiles, tmp_path: Path) -> None:
    extract(files, tmp_path, "fine")
    features = CombinedFeatures.open(tmp_path, ["fine"], 2)
    assert (features.grid.fps, features.grid.frames, features.grid.stride, features.dim) == (2.0, 1, 1, 32)
    for video in features.videos:
        rows = features.read(video)
        path = next(files.corpus.videos.rglob(f"{video}.mp4"))
        assert len(rows) == len(list(read_frames(path, step=15)))
        assert np.isfinite(rows).all()


def test_transfer_compares_features_on_the_same_clips(files: RecognizerFiles, tmp_path: Path) -> None:
    for name in ("fine", "joint"):
        extract(files, tmp_path, name)
    output = tmp_path / "transfer.json"
    words = ["--corpus", str(files.corpus.corpus), "--labels", str(files.labels), "--features", str(tmp_path)]
    words += ["--names", "fine", "joint", "--output", str(output)]
    classifiers = {
        "regression": {"kind": "regression", "rows": "mean"},
        "lstm": {"kind": "lstm", "hidden_dim": 4, "steps": 5, "features": ["joint"], "shots": [None], "runs": 2},
    }
    config = json.dumps({"shots": [1, None], "runs": 3, "classifiers": classifiers, "device": "cpu"})
    assert transfer_features.main([*words, "--config", config]) == 0
    result = read_json(output)
    assert result["clips"] == {"train": 6, "test": 4}
    assert result["commonest_class"] == 0.5
    assert result["features"].keys() == {"fine", "joint"}
    assert result["features"]["fine"].keys() == {"regression"}
    assert result["features"]["joint"]["lstm"].keys() == {"all"}
    assert result["features"]["joint"]["lstm"]["all"]["runs"] == 2
    fine = result["features"]["fine"]["regression"]
    assert fine["all"] == {"accuracy": 1.0, "interval": None, "runs": 1}
    assert fine["1"]["runs"] == 3
    low, high = fine["1"]["interval"]
    assert low <= fine["1"]["accuracy"] <= high


@pytest.mark.parametrize("settings", [{}, {"method": "notebook", "decoding": "forced"}])
def test_grad_cam_writes_a_page_with_picture_and_films(
    settings: dict[str, Any], files: RecognizerFiles, tmp_path: Path
) -> None:
    output = tmp_path / "manifest.json"
    words = [*files.words, "--labels", str(files.labels), "--recognizer", str(files.recognizers["joint"])]
    config = json.dumps({"clips": 1, "columns": 3, "device": "cpu", **settings})
    assert render_grad_cam.main([*words, "--split", "test", "--config", config, "--output", str(output)]) == 0
    names = set(read_json(output)["files"])
    assert {"index.html", "v_test0.png", "v_test0-0.mp4"} <= names
    page = (tmp_path / "index.html").read_text()
    assert "class: glow" in page
    frames = list(read_frames(tmp_path / "v_test0-0.mp4"))
    assert len(frames) == 12
    assert frames[0].shape == (56, 56, 3)
    if settings:
        # The annotated caption has five words; with the class there are six maps.
        assert {f"v_test0-{number}.mp4" for number in range(5)} <= names
        assert "word: glows" in page


def test_a_feature_of_a_recognizer_needs_its_manifest(
    files: RecognizerFiles, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    videos = files.corpus.videos / "0000" / "manifest.json"
    words = ["--config", '{"recognizer": "fine"}', "--videos", str(videos), "--output", str(tmp_path / "m.json")]
    assert extract_features.main(words) == 2
    assert "'fine'" in capsys.readouterr().err
