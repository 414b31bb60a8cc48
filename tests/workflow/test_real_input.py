"""Real annotations, all 14,950 videos of them, with the two real videos that stand beside the project."""

import json
from pathlib import Path

import pytest
from helpers.workflow_sandbox import link_clone, snakemake

pytestmark = pytest.mark.road

COMMAND = ("--cores", "2", "results/anet_test_meteor.json", "--configfile", "config/anet_mini.yaml")


@pytest.fixture
def clone(tmp_path: Path, shared: Path) -> Path:
    """A clone with the folder of real files where the overlay's paths point."""
    (tmp_path / "shared").symlink_to(shared)
    folder = tmp_path / "clone"
    folder.mkdir()
    return link_clone(folder)


def test_two_real_videos_go_all_the_way_and_the_missing_ones_are_listed(clone: Path) -> None:
    done = snakemake(clone, *COMMAND)
    assert done.returncode == 0, done.stdout
    scores = json.loads((clone / "results" / "anet_test_meteor.json").read_text())
    assert scores["counts"]["videos"]["scored"] == 1
    assert scores["counts"]["rejects"]["missing"] == 14948
    assert set(scores["METEOR"]) == {"gt", "learned"}
    corpus = json.loads((clone / "results" / "anet" / "corpus" / "manifest.json").read_text())
    assert corpus["facts"]["counts"]["videos_present"] == 2


def test_missing_videos_are_fatal_with_a_count_where_config_says_so(clone: Path) -> None:
    (clone / "strict.yaml").write_text("build_corpus: {missing: fail}\n")
    done = snakemake(clone, *COMMAND, "strict.yaml")
    assert done.returncode != 0
    assert "14948 of 14950 annotated videos are missing" in done.stdout
    assert not (clone / "results" / "anet" / "video").exists()
