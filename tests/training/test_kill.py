"""Killed at any moment and started again, a pretraining ends bit for bit as if nothing had happened."""

import json
from pathlib import Path

from helpers.kill_runner import Case, said_by_survivors
from helpers.video_corpus import SMALL, write_filmed

ROOT = Path(__file__).resolve().parents[2]


def test_ten_kills_at_random_moments_change_nothing(tmp_path: Path) -> None:
    filmed = write_filmed(tmp_path, {"train": 2, "val": 2})
    config = json.dumps({**SMALL, "clips_per_segment": 10, "batch_size": 4, "save_every": 1})
    output = tmp_path / "sa_tsp"
    words = ["--name", "sa_tsp", "--config", config, "--corpus", str(filmed.corpus), "--videos", str(filmed.videos)]
    words += ["--concepts", str(filmed.concepts), "--state", str(tmp_path / "state")]
    words += ["--output", str(output / "manifest.json")]
    manifest, state = str(output / "manifest.json"), str(tmp_path / "state")
    case = Case("pipeline.pretrain_encoder", words, [manifest], [str(output), state], kills=10, seed=7)
    said = said_by_survivors(case, tmp_path)
    assert "resuming in epoch" in said, "kills fell into epochs"
    assert not (tmp_path / "state").exists()
