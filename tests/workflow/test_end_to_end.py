"""One small end-to-end run: its results, and what reruns after a change."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from helpers.fork_server import forked_snakemake
from helpers.workflow_sandbox import TARGETS

pytestmark = pytest.mark.end_to_end


def run(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return forked_snakemake(folder, "--cores", "2", *TARGETS, *words)


@pytest.fixture(scope="module")
def scores(finished_run: Path) -> dict[str, Any]:
    scores: dict[str, Any] = json.loads((finished_run / "results" / "demo_test_meteor.json").read_text())
    return scores


def planned_rules(finished_run: Path, overlay: str) -> set[str]:
    """Return the rules that would run with another overlay than that of the run."""
    (finished_run / "changed.yaml").write_text(overlay)
    process = run(finished_run, "-n", "-q", "rules", "--configfile", "changed.yaml")
    assert process.returncode == 0, process.stdout
    return set(re.findall(r"^([a-z_]+) +\d+$", process.stdout, flags=re.MULTILINE)) - {"total"}


def test_the_result_holds_scores_and_provenance(scores: dict[str, Any]) -> None:
    for meteor in (scores["METEOR"]["gt"], scores["METEOR"]["learned"], scores["control"]["METEOR"]["gt"]):
        assert set(meteor) == {"0.3", "0.5", "0.7", "0.9", "mean"}
        assert all(0 <= value <= 1 for value in meteor.values())
    assert scores["counts"]["videos"]["scored"] >= 2
    assert scores["evaluator"]["meteor_jar_sha256"].startswith("1e57b4c7")
    assert len(scores["evaluator"]["references"]) == 2
    assert scores["provenance"]["config_digest"]
    assert {"reencode", "pretrain_encoder", "finetune_scst", "evaluate"} <= set(scores["provenance"]["code"])


def test_the_broken_video_is_a_reject_with_a_reason(scores: dict[str, Any]) -> None:
    rejects = scores["counts"]["rejects"]
    assert sum(rejects.get(reason, 0) for reason in ("unreadable", "cut_short", "decode_error")) == 1


def test_the_submission_is_in_the_challenges_format(finished_run: Path) -> None:
    submission = json.loads((finished_run / "results" / "demo_submission.json").read_text())
    assert set(submission) == {"version", "results", "external_data"}
    assert set(submission["external_data"]) == {"used", "details"}
    assert len(submission["results"]) == 2
    for captions in submission["results"].values():
        assert captions
        assert all(set(caption) == {"sentence", "timestamp"} for caption in captions)


def test_the_report_page_links_to_existing_files(finished_run: Path) -> None:
    page = finished_run / "results" / "demo" / "report" / "index.html"
    links = re.findall(r'(?:src=|"file": )"([^"]+)"', page.read_text())
    assert sum(link.endswith(".mp4") for link in links) == 2
    assert len(links) >= 2 + 3
    assert all((page.parent / link).is_file() for link in links)
    assert "| control" in (page.parent / "scores.md").read_text()


def test_no_training_state_and_no_temporary_file_is_left(finished_run: Path) -> None:
    assert not list((finished_run / "results").rglob("*.tmp*"))
    assert not [path for path in (finished_run / "results" / "demo" / "state").rglob("*") if path.is_file()]


def test_a_second_run_has_nothing_to_do(finished_run: Path) -> None:
    assert "Nothing to be done" in run(finished_run, "--configfile", "tiny.yaml").stdout


@pytest.mark.parametrize(
    ("change", "rules"),
    [
        ("", set()),
        ("# a comment\n", set()),
        (
            "select_captions: {<<: *two_captioners, criteria: [idf]}\n",
            {"select_captions", "evaluate", "write_submission", "write_report", "bundle_model"},
        ),
        ("evaluate: {variant: '2018'}\n", {"evaluate", "write_report", "bundle_model"}),
        ("write_submission: {details: nothing}\n", {"write_submission"}),
        (
            "generate_captions: {control_seed: 7}\n",
            {"generate_captions", "select_captions", "evaluate", "write_submission", "write_report", "bundle_model"},
        ),
    ],
)
def test_a_change_reruns_its_stage_and_the_stages_after_it(finished_run: Path, change: str, rules: set[str]) -> None:
    tiny = (finished_run / "tiny.yaml").read_text()
    assert planned_rules(finished_run, tiny + change) - {"all"} == rules
