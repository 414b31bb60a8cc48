"""Proposals, as a command."""

import json
from pathlib import Path

import pytest
from helpers.caption_corpus import Small, count_steps, die_in_call, write_small
from helpers.feature_files import made, shard

from pipeline import propose_events
from pipeline.datasets.corpus import REJECTS
from pipeline.features.combined import ClipGrid
from pipeline.io.atomic import sha256
from pipeline.io.tables import read_table
from pipeline.localization.proposals import Proposal, read_proposals

BOUNDARY = {"kind": "boundary", "features": ["toy"], "hidden": 16, "batch_size": 4, "lr": 0.01, "epochs": 3}

BMN = {
    **{"kind": "bmn", "features": ["toy"], "positions": 24, "samples": 8, "temporal": 32, "combined": 32},
    **{"confidence": 16, "batch_size": 4, "lr": 0.003, "epochs": 3, "lr_epochs": 2},
}
LEARNED = pytest.mark.parametrize("config", [BOUNDARY, BMN], ids=["boundary", "bmn"])


def run(small: Small, folder: Path, config: dict[str, object]) -> int:
    places = ["--state", str(folder / "state"), "--output", str(folder / "proposals.json")]
    return propose_events.main(["--config", json.dumps(config), *small.arguments(), *places])


def test_annotated_events_are_proposals(tmp_path: Path) -> None:
    small = write_small(tmp_path, {"train": 1, "val": 1, "submission": 0})
    assert run(small, tmp_path, {"kind": "gt", "annotator": 2}) == 0
    found = read_proposals(tmp_path / "proposals.json")
    assert {video: [(one.start, one.end) for one in these] for video, these in found.items()} == {
        "v_train0": [(1.0, 3.0), (4.0, 7.0)],  # the second annotator saw no training video
        "v_val0": [(1.0, 3.25), (4.0, 7.25)],
    }
    assert {one.score for these in found.values() for one in these} == {1.0}


@pytest.mark.parametrize(
    "config", [BOUNDARY | {"epochs": 30}, BMN | {"epochs": 15, "lr_epochs": 12}], ids=["boundary", "bmn"]
)
def test_a_learned_proposer_finds_the_events(tmp_path: Path, config: dict[str, object]) -> None:
    small = write_small(tmp_path, {"train": 24, "val": 4, "test": 4})
    assert run(small, tmp_path, config | {"max_proposals": 4, "min_score": 0.5}) == 0
    rows = [json.loads(line) for line in (tmp_path / "proposals.metrics.jsonl").read_text().splitlines()]
    assert len(rows) == config["epochs"]
    assert rows[-1]["loss"] < rows[0]["loss"] / 2
    assert rows[-1]["recall@0.7"] > 0.9
    assert rows[-1]["precision@0.7"] > 0.9
    durations = small.open_features().videos
    found = read_proposals(tmp_path / "proposals.json")
    assert found.keys() == durations.keys()
    for video, these in found.items():
        assert 1 <= len(these) <= 4
        assert all(0 <= one.start < one.end <= durations[video] for one in these)
    assert not (tmp_path / "state").exists()


@LEARNED
def test_a_stopped_run_goes_on_as_if_it_had_not_been_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, config: dict[str, object]
) -> None:
    small = write_small(tmp_path, {"train": 6, "val": 1})
    assert run(small, tmp_path / "undisturbed", config) == 0
    with monkeypatch.context() as patch:
        die_in_call(patch, propose_events.Proposer, "_epoch", 3)
        with pytest.raises(KeyboardInterrupt):
            run(small, tmp_path / "stopped", config)
    assert run(small, tmp_path / "stopped", config) == 0
    for name in ("proposals.json", "proposals.metrics.jsonl"):
        assert sha256(tmp_path / "undisturbed" / name) == sha256(tmp_path / "stopped" / name)


def test_a_proposer_reads_several_features_as_it_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small = write_small(tmp_path, {"train": 3})
    sound = {"v_train0": made(16, dim=3), "v_train1": "no_audio", "v_train2": made(20, dim=3)}
    shard(small.features, sound, 0, "sound", ClipGrid(16.0, 8, 8))
    two = BOUNDARY | {"features": ["toy", "sound"], "align": "linear", "epochs": 1}
    assert run(small, tmp_path, two) == 2
    assert "sound: 1 of 3 videos lack this feature (v_train1: no_audio)" in capsys.readouterr().err
    assert run(small, tmp_path, two | {"missing": "zeros"}) == 0
    assert read_proposals(tmp_path / "proposals.json").keys() == sound.keys()


def test_all_candidates_are_proposed_where_recall_is_to_be_measured(tmp_path: Path) -> None:
    small = write_small(tmp_path, {"train": 3})
    assert run(small, tmp_path, BMN | {"epochs": 1, "candidates": 50, "all_candidates": True}) == 0
    assert {len(these) for these in read_proposals(tmp_path / "proposals.json").values()} == {50}


def test_without_val_videos_there_is_no_agreement_to_report(tmp_path: Path) -> None:
    small = write_small(tmp_path, {"train": 3})
    assert run(small, tmp_path, BOUNDARY) == 0
    rows = [json.loads(line) for line in (tmp_path / "proposals.metrics.jsonl").read_text().splitlines()]
    assert all(row.keys() == {"epoch", "loss"} for row in rows)


def test_without_training_videos_nothing_can_be_learned(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small = write_small(tmp_path, {"train": 2, "val": 1}, featureless=["v_train0", "v_train1"])
    assert run(small, tmp_path, BOUNDARY) == 2
    assert "no video of train has both captions and features" in capsys.readouterr().err


def test_proposals_of_a_file_come_with_what_was_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small = write_small(tmp_path, {"train": 2, "val": 1})  # of 8, 9 and 10 s
    given = tmp_path / "given.csv"
    given.write_text("video,start,end,score\nv_train1,5,20,0.2\ntrain0,1,2,0.5\nv_train0,1,2,0.6\nv_else,1,2,1\n")
    assert run(small, tmp_path, {"kind": "file", "path": str(given)}) == 0
    assert read_proposals(tmp_path / "proposals.json") == {
        "v_train0": [Proposal(1.0, 2.0, 0.6)],
        "v_train1": [Proposal(5.0, 9.0, 0.2)],
    }
    rejects = read_table(tmp_path / "proposals.rejects.parquet", REJECTS)
    assert {(row["video"], row["reason"]) for row in rejects} == {
        ("v_train1", "clipped"),
        ("v_train0", "duplicate"),
        ("v_else", "unknown_video"),
        ("v_val0", "no_proposals"),
    }
    assert "1 x unknown_video" in capsys.readouterr().err
    written = json.loads((tmp_path / "proposals.json").read_text())
    assert written["external_data"] == {"used": True, "details": "proposals given.csv, made elsewhere"}


def test_a_file_of_other_videos_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small = write_small(tmp_path, {"train": 1})
    given = tmp_path / "given.json"
    given.write_text(json.dumps({"results": {"v_else": [{"segment": [1, 2]}], "v_train0": [{"segment": [90, 95]}]}}))
    assert run(small, tmp_path, {"kind": "file", "path": str(given)}) == 2
    assert "given.json: no proposal fits a video of" in capsys.readouterr().err
    assert not (tmp_path / "proposals.json").exists()


@pytest.mark.parametrize(
    ("config", "complaint"),
    [
        ({}, "propose_events.kind is missing"),
        ({"kind": "oracle"}, "propose_events.kind = 'oracle'"),
        ({"kind": "gt", "annotator": 3}, "propose_events.annotator = 3"),
        ({"kind": "file"}, "propose_events.path is missing"),
        ({"kind": "bmn", "features": ["toy"], "temporal": 6}, "propose_events.temporal = 6"),
        ({"kind": "gt", "hidden": 3}, "unknown key propose_events.hidden"),
    ],
)
def test_settings_are_checked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], config: dict[str, object], complaint: str
) -> None:
    small = write_small(tmp_path, {"train": 1})
    assert run(small, tmp_path, config) == 2
    assert complaint in capsys.readouterr().err


@LEARNED
def test_an_epoch_may_end_early(tmp_path: Path, config: dict[str, object], monkeypatch: pytest.MonkeyPatch) -> None:
    small = write_small(tmp_path, {"train": 6})
    steps = count_steps(monkeypatch)
    assert run(small, tmp_path, config | {"epochs": 2, "batch_size": 2, "steps_per_epoch": 2}) == 0
    assert len(steps) == 2 * 2
