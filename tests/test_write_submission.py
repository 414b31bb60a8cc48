"""Writing the submission: its content, and what is refused, with the name of the video."""

import json
from pathlib import Path
from typing import Any

import pytest
from helpers.evaluation_files import Event, write_captions, write_corpus, write_shard

from pipeline.write_submission import main

VIDEOS = [
    ("v_a", "submission", True),
    ("v_b", "submission", True),
    ("v_gone", "submission", False),
    ("v_t", "test", True),
]
CAPTIONS: dict[str, list[Event]] = {
    "v_a": [(0.0, 5.0, "A man runs."), (5.0, 30.5, "He stops.")],
    "v_b": [(0.0, 1.0, "A dog.")],
}


def run(
    tmp_path: Path,
    captions: dict[str, list[Event]],
    config: dict[str, Any] | None = None,
    rejected: tuple[str, ...] = (),
    **corpus: Any,
) -> int:
    write_shard(tmp_path / "video", 0, [(video, "decode_error") for video in rejected])
    manifest = write_corpus(tmp_path / "corpus", **({"videos": VIDEOS} | corpus))
    path = write_captions(tmp_path / "captions.json", captions, external_data={"used": True, "details": "IG-65M"})
    options = ["--config", json.dumps(config or {}), "--corpus", str(manifest), "--captions", str(path)]
    options += ["--videos", str(tmp_path / "video")]
    return main([*options, "--output", str(tmp_path / "submission.json")])


def test_submission_has_only_sentences_and_timestamps(tmp_path: Path) -> None:
    assert run(tmp_path, CAPTIONS, {"external_data": True, "details": "weights"}) == 0
    assert json.loads((tmp_path / "submission.json").read_text()) == {
        "version": "VERSION 1.3",
        "results": {
            video: [{"sentence": sentence, "timestamp": [start, end]} for start, end, sentence in events]
            for video, events in CAPTIONS.items()
        },
        "external_data": {"used": True, "details": "weights"},
    }
    assert (tmp_path / "submission.provenance.json").is_file()


def test_a_rejected_video_needs_no_caption(tmp_path: Path) -> None:
    assert run(tmp_path, {"v_a": CAPTIONS["v_a"]}, rejected=("v_b",)) == 0
    assert set(json.loads((tmp_path / "submission.json").read_text())["results"]) == {"v_a"}


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"v_b": []}, "1 of 2 videos have no caption: v_b"),
        ({"v_t": CAPTIONS["v_b"]}, "video v_t is not in the split submission"),
        ({"v_b": [(0.0, 1.0, " \n")]}, "video v_b, caption 0: the sentence is empty"),
        ({"v_b": [(-1.0, 1.0, "A dog.")]}, "video v_b, caption 0: starts at -1.0 s"),
        ({"v_b": [(0.0, 1.0, "A dog."), (0.0, 31.5, "x")]}, "video v_b, caption 1: ends at 31.5 s, but"),
        ({"v_b": [(2.0, 1.0, "A dog.")]}, "video v_b, caption 0: timestamp [2.0, 1.0] ends before"),
    ],
)
def test_build_submission_names_what_the_challenge_would_refuse(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], change: dict[str, list[Event]], fault: str
) -> None:
    assert run(tmp_path, CAPTIONS | change) == 2
    assert fault in capsys.readouterr().err
    assert not (tmp_path / "submission.json").exists()


def test_an_unknown_duration_is_not_checked(tmp_path: Path) -> None:
    assert run(tmp_path, CAPTIONS | {"v_b": [(0.0, 900.0, "A dog.")]}, duration=None) == 0


def test_a_corpus_without_submission_split_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path, {}, videos=[("v_t", "test", True)]) == 2
    assert "the split submission has no video" in capsys.readouterr().err


def test_external_data_of_the_captions_cannot_be_denied(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path, CAPTIONS, {"external_data": False}) == 2
    assert "captions.json: external data was used (IG-65M)" in capsys.readouterr().err
