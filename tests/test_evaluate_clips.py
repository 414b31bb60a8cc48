"""evaluate_clips: the final result of a dataset of clips."""

import json
from pathlib import Path

import pytest
from helpers.evaluation_files import write_captions, write_corpus, write_shard

from pipeline.evaluate_clips import main

FIRST = {
    "video1": [(0.0, 10.0, "a man is cooking")],
    "video2": [(0.0, 10.0, "two dogs play in snow")],
    "video3": [(0.0, 10.0, "a boy throws a ball")],
    "video4": [(0.0, 10.0, "a woman swims")],
}
SECOND = {"video1": [(0.0, 10.0, "a chef cooks food")], "video3": [(0.0, 10.0, "a kid plays")]}


def arguments(folder: Path, captions: dict[str, list[tuple[float, float, str]]]) -> list[str]:
    """Write a dataset of four clips, one without a file and one that was rejected; return the arguments."""
    videos = [(f"video{number}", "test", number != 4) for number in range(1, 5)]
    corpus = write_corpus(
        folder / "corpus", videos, {"test_1": FIRST, "test_2": SECOND}, rejects=[("video4", "missing")], shards=1
    )
    write_shard(folder / "video", 0, [("video3", "undecodable")])
    vocabulary = folder / "vocabulary.json"
    vocabulary.write_text(json.dumps({"min_count": 1, "words": ["a", "man", "cooking"]}))
    control = {"video1": FIRST["video2"], "video2": FIRST["video1"]}
    files = {
        "corpus": corpus,
        "videos": folder / "video",
        "captions": write_captions(folder / "gt.json", captions),
        "control": write_captions(folder / "control.json", control),
        "vocabulary": vocabulary,
        "output": folder / "o.json",
    }
    return [word for name, path in files.items() for word in (f"--{name}", str(path))]


def test_the_result_has_scores_the_control_and_counts(tmp_path: Path) -> None:
    captions = {"video1": FIRST["video1"], "video2": FIRST["video2"]}
    assert main(arguments(tmp_path, captions)) == 0
    result = json.loads((tmp_path / "o.json").read_text())
    assert result["counts"]["clips"] == {"listed": 4, "missing": 1, "rejected": 1, "scored": 3}
    assert result["counts"]["references"] == 5
    assert (result["n_clips"], result["n_predicted_clips"]) == (3, 2)
    assert result["per_video"]["gt"]["video"] == ["video1", "video2", "video3"]
    assert result["per_video"]["gt"]["METEOR"][:2] == pytest.approx([1, 1])
    assert result["per_video"]["gt"]["METEOR"][2] == 0  # rejected by re-encoding, and scored
    assert result["control"]["CIDEr"] < result["CIDEr"]
    assert result["diversity"]["novel"] == 1
    assert result["evaluator"]["name"].startswith("clips")
    assert result["provenance"]["code"].keys() >= {"evaluate_clips"}


def test_captions_of_one_captioner_have_no_control(tmp_path: Path) -> None:
    words = arguments(tmp_path, FIRST)
    index = words.index("--control")
    assert main([*words[:index], *words[index + 2 :]]) == 0
    result = json.loads((tmp_path / "o.json").read_text())
    assert result["METEOR"] == pytest.approx(1)
    assert "control" not in result
    assert result["per_video"].keys() == {"gt"}


def test_a_split_without_clips_is_one_plain_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*arguments(tmp_path, FIRST), "--split", "val"]) == 2
    assert "no clip of split val" in capsys.readouterr().err


def test_captions_of_other_clips_are_one_plain_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments(tmp_path, {"other": FIRST["video1"]})) == 2
    assert "no clip is in the references" in capsys.readouterr().err
