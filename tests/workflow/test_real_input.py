"""The real annotations of 14,950 videos, with two real videos."""

import json
from pathlib import Path

import pytest
from helpers.workflow_sandbox import link_clone, snakemake

pytestmark = [pytest.mark.end_to_end, pytest.mark.campaign]

COMMAND = ("--cores", "2", "results/anet_test_meteor.json", "--configfile", "config/anet_mini.yaml")


@pytest.fixture
def clone(tmp_path: Path, shared: Path) -> Path:
    """A clone with the folder of real files at the paths of the overlay."""
    (tmp_path / "shared").symlink_to(shared)
    folder = tmp_path / "clone"
    folder.mkdir()
    return link_clone(folder)


def test_two_real_videos_are_scored_and_the_missing_ones_are_counted(clone: Path) -> None:
    process = snakemake(clone, *COMMAND)
    assert process.returncode == 0, process.stdout
    scores = json.loads((clone / "results" / "anet_test_meteor.json").read_text())
    assert scores["counts"]["videos"]["scored"] == 1
    assert scores["counts"]["rejects"]["missing"] == 14948
    assert set(scores["METEOR"]) == {"gt", "learned"}
    corpus = json.loads((clone / "results" / "anet" / "corpus" / "manifest.json").read_text())
    assert corpus["metadata"]["counts"]["videos_present"] == 2


def test_missing_videos_are_an_error_with_missing_fail(clone: Path) -> None:
    (clone / "strict.yaml").write_text("build_corpus: {missing: fail}\n")
    process = snakemake(clone, *COMMAND, "strict.yaml")
    assert process.returncode != 0
    assert "14948 of 14950" in process.stdout
    assert not (clone / "results" / "anet" / "video").exists()
