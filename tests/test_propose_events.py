"""Propose events, as a command."""

import json
from pathlib import Path

import pytest
from helpers.caption_corpus import CaptionCorpus, write_caption_corpus
from helpers.feature_files import random_features, write_feature_shard

from pipeline import propose_events, train_proposer
from pipeline.datasets.corpus import RejectedVideo
from pipeline.features.combined import ClipGrid
from pipeline.io.tables import read_rows
from pipeline.localization.proposals import Proposal, read_proposals

BOUNDARY = {"kind": "boundary", "features": ["toy"], "hidden": 16, "batch_size": 4, "lr": 0.01, "epochs": 3}
BMN = {
    **{"kind": "bmn", "features": ["toy"], "temporal_scale": 24, "num_samples": 8, "hidden_dim_1d": 32},
    **{"hidden_dim_2d": 16, "hidden_dim_3d": 32, "batch_size": 4, "lr": 0.003, "epochs": 3, "lr_decay_every": 2},
}
FEW = {"max_proposals": 4, "min_score": 0.5}


def run(corpus: CaptionCorpus, folder: Path, config: dict[str, object]) -> int:
    words = ["--config", json.dumps(config), *corpus.arguments(), "--output", str(folder / "proposals.json")]
    if config.get("kind") == "learned":
        words += ["--proposer", str(folder / "proposer" / "manifest.json")]
    return propose_events.main(words)


def train(corpus: CaptionCorpus, folder: Path, config: dict[str, object]) -> int:
    paths = ["--state", str(folder / "state"), "--output", str(folder / "proposer" / "manifest.json")]
    return train_proposer.main(["--config", json.dumps(config), *corpus.arguments(), *paths])


def test_annotated_events_are_proposals(tmp_path: Path) -> None:
    corpus = write_caption_corpus(tmp_path, {"train": 1, "val": 1, "submission": 0})
    assert run(corpus, tmp_path, {"kind": "gt", "annotator": 2}) == 0
    proposals = read_proposals(tmp_path / "proposals.json")
    assert {video: [(one.start, one.end) for one in of_video] for video, of_video in proposals.items()} == {
        "v_train0": [(1.0, 3.0), (4.0, 7.0)],  # the second annotator annotated no training video
        "v_val0": [(1.0, 3.25), (4.0, 7.25)],
    }
    assert {one.score for of_video in proposals.values() for one in of_video} == {1.0}


@pytest.mark.parametrize(
    "config", [BOUNDARY | {"epochs": 30}, BMN | {"epochs": 15, "lr_decay_every": 12}], ids=["boundary", "bmn"]
)
def test_a_learned_proposer_finds_the_events(tmp_path: Path, config: dict[str, object]) -> None:
    corpus = write_caption_corpus(tmp_path, {"train": 24, "val": 4, "test": 4})
    assert train(corpus, tmp_path, config | {"validation": FEW}) == 0
    rows = [json.loads(line) for line in (tmp_path / "proposer" / "metrics.jsonl").read_text().splitlines()]
    assert len(rows) == config["epochs"]
    assert rows[-1]["loss"] < rows[0]["loss"] / 2
    assert rows[-1]["recall@0.7"] > 0.9
    assert rows[-1]["precision@0.7"] > 0.9
    assert run(corpus, tmp_path, {"kind": "learned", **FEW}) == 0
    durations = corpus.open_features().videos
    proposals = read_proposals(tmp_path / "proposals.json")
    assert proposals.keys() == durations.keys()
    for video, of_video in proposals.items():
        assert 1 <= len(of_video) <= 4
        assert all(0 <= one.start < one.end <= durations[video] for one in of_video)


def test_a_proposer_reads_several_features_as_configured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    corpus = write_caption_corpus(tmp_path, {"train": 3})
    sound = {"v_train0": random_features(16, dim=3), "v_train1": "no_audio", "v_train2": random_features(20, dim=3)}
    write_feature_shard(corpus.features, sound, 0, "sound", ClipGrid(16.0, 8, 8))
    config = BOUNDARY | {"features": ["toy", "sound"], "align": "linear", "epochs": 1}
    assert train(corpus, tmp_path, config) == 2
    error = capsys.readouterr().err
    assert "sound" in error
    assert "v_train1: no_audio" in error
    assert train(corpus, tmp_path, config | {"missing": "zeros"}) == 0
    assert run(corpus, tmp_path, {"kind": "learned"}) == 0
    assert read_proposals(tmp_path / "proposals.json").keys() == sound.keys()


def test_all_candidates_writes_the_given_number_of_candidates(tmp_path: Path) -> None:
    corpus = write_caption_corpus(tmp_path, {"train": 3})
    assert train(corpus, tmp_path, BMN | {"epochs": 1}) == 0
    assert run(corpus, tmp_path, {"kind": "learned", "candidates": 50, "all_candidates": True}) == 0
    assert {len(of_video) for of_video in read_proposals(tmp_path / "proposals.json").values()} == {50}


def test_learned_proposals_need_a_proposer(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    corpus = write_caption_corpus(tmp_path, {"train": 1})
    words = ["--config", '{"kind": "learned"}', *corpus.arguments(), "--output", str(tmp_path / "proposals.json")]
    assert propose_events.main(words) == 2
    assert "--proposer" in capsys.readouterr().err


def test_proposals_of_a_file_are_written_with_their_rejects(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    corpus = write_caption_corpus(tmp_path, {"train": 2, "val": 1})  # of 8, 9 and 10 s
    file = tmp_path / "given.csv"
    file.write_text("video,start,end,score\nv_train1,5,20,0.2\ntrain0,1,2,0.5\nv_train0,1,2,0.6\nv_else,1,2,1\n")
    assert run(corpus, tmp_path, {"kind": "file", "path": str(file)}) == 0
    assert read_proposals(tmp_path / "proposals.json") == {
        "v_train0": [Proposal(1.0, 2.0, 0.6)],
        "v_train1": [Proposal(5.0, 9.0, 0.2)],
    }
    rejects = read_rows(tmp_path / "proposals.rejects.parquet", RejectedVideo)
    assert {(reject.video, reject.reason) for reject in rejects} == {
        ("v_train1", "clipped"),
        ("v_train0", "duplicate"),
        ("v_else", "unknown_video"),
        ("v_val0", "no_proposals"),
    }
    assert "1 x unknown_video" in capsys.readouterr().err
    written = json.loads((tmp_path / "proposals.json").read_text())
    assert written["external_data"] == {"used": True, "details": "proposals given.csv, made elsewhere"}


def test_a_file_with_proposals_of_other_videos_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    corpus = write_caption_corpus(tmp_path, {"train": 1})
    file = tmp_path / "given.json"
    file.write_text(json.dumps({"results": {"v_else": [{"segment": [1, 2]}], "v_train0": [{"segment": [90, 95]}]}}))
    assert run(corpus, tmp_path, {"kind": "file", "path": str(file)}) == 2
    assert "given.json: no proposal fits a video of" in capsys.readouterr().err
    assert not (tmp_path / "proposals.json").exists()


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({}, "propose_events: kind = None"),
        ({"kind": "oracle"}, "kind = 'oracle'; expected one of gt, file, learned"),
        ({"kind": "gt", "annotator": 3}, "propose_events.annotator = 3"),
        ({"kind": "file"}, "propose_events.path is missing"),
        ({"kind": "learned", "min_score": 2}, "propose_events.min_score = 2"),
        ({"kind": "gt", "hidden": 3}, "unknown key propose_events.hidden"),
    ],
)
def test_wrong_settings_of_propose_events_are_errors(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], config: dict[str, object], expected: str
) -> None:
    corpus = write_caption_corpus(tmp_path, {"train": 1})
    assert run(corpus, tmp_path, config) == 2
    assert expected in capsys.readouterr().err
