"""Test that a pretraining that is killed and started again ends with the same bits as an uninterrupted one."""

import json
from pathlib import Path
from typing import Literal

import pytest
from helpers.kill_runner import Case, check_result, kill_in_fork
from helpers.video_corpus import SMALL, write_video_corpus

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(("moments", "kills"), [("commits", 3), pytest.param("random", 10, marks=pytest.mark.campaign)])
def test_kills_do_not_change_the_result(tmp_path: Path, moments: Literal["random", "commits"], kills: int) -> None:
    corpus = write_video_corpus(tmp_path, {"train": 2, "val": 2})
    clips = 10 if moments == "random" else 4
    config = json.dumps({**SMALL, "clips_per_segment": clips, "batch_size": 4, "save_every": 1})
    output = tmp_path / "sa_tsp"
    arguments = ["--name", "sa_tsp", "--config", config, "--corpus", str(corpus.corpus), "--videos", str(corpus.videos)]
    arguments += ["--concepts", str(corpus.concepts), "--state", str(tmp_path / "state")]
    arguments += ["--output", str(output / "manifest.json")]
    manifest, state = str(output / "manifest.json"), str(tmp_path / "state")
    case = Case("pipeline.pretrain_encoder", arguments, [manifest], [str(output), state], kills, 7, moments)
    [result], log = kill_in_fork([case], tmp_path)
    check_result(result, kills)
    assert "resuming in epoch" in log, "some kills were inside an epoch"
    assert not (tmp_path / "state").exists()
