"""`sa-tsp plan` in a folder like a fresh clone, and after some stages were run there."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.fork_server import fork_environment, forked_snakemake
from helpers.workflow_sandbox import ROOT, link_clone

TARGET = "results/demo/concepts.json"
FEW = """
make_demo: {train_videos: 4, val_videos: 5, test_videos: 1, broken_videos: 0}
build_corpus: {fractions: {enlarged: 0.2, val: 0.3, test: 0.5}}
"""


def plan(folder: Path, *words: str) -> tuple[int, str]:
    """Return status and output; the command runs in a fork, unless the folder has its own code."""
    environment = {} if (folder / "pipeline").exists() else fork_environment()
    process = subprocess.run(
        [sys.executable, "-m", "pipeline.commands", "plan", *words],
        cwd=folder,
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=900,
    )
    return process.returncode, process.stdout


@pytest.fixture(scope="module")
def partial_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with its own copy of the code, in which a few videos were drawn and their concepts mined."""
    folder = link_clone(tmp_path_factory.mktemp("partial"))
    (folder / "mine.yaml").write_text(FEW)
    words = [TARGET, "--cores", "2", "--configfile", "mine.yaml"]
    process = forked_snakemake(folder, *words, **fork_environment())
    assert process.returncode == 0, process.stdout
    shutil.copytree(ROOT / "pipeline", folder / "pipeline", ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def test_plan_of_a_fresh_clone_lists_all_jobs_without_times(clone: Path) -> None:
    (clone / "mine.yaml").write_text("reencode: {fps: 30}\n")
    status, output = plan(clone, TARGET, "--configfile", "mine.yaml")
    assert status == 0, output
    assert "mine.yaml has no effect on dataset demo" in output
    assert re.findall(r"^(\w+) +(\d+) job ", output, flags=re.MULTILINE) == [
        ("make_demo", "1"),
        ("build_corpus", "1"),
        ("mine_concepts", "1"),
    ]
    assert "    missing output: results/demo/corpus/manifest.json\n" in output
    assert (
        "total: 3 jobs\ntime and GPU-hours unknown until a job of the rule has run on this dataset: make_demo (1), "
        in output
    )
    assert not (clone / "results" / "demo").exists(), "nothing is run"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["results/nope_test_meteor.json"], "error: no dataset 'nope'"),
        (["no_such_target"], "error: snakemake cannot plan this: "),
        ([TARGET, "--machine", "gpus=eight,cores=4"], "gpus = 'eight'"),
        ([TARGET, "--machine", "cores=4"], "results/demo/corpus/manifest.json: does not exist yet"),
        ([TARGET, "--machine", "cores=4", "--videos", "10"], "--videos and --hours: give both"),
        ([TARGET, "--nodes", "2"], "--nodes, --videos and --hours need --machine"),
    ],
)
def test_plan_reports_invalid_targets_in_one_line(clone: Path, words: list[str], expected: str) -> None:
    status, text = plan(clone, *words)
    assert (status, text.count("\n")) == (2, 1), text
    assert expected in text


def test_a_machine_is_planned_from_the_start_without_any_input_file(clone: Path) -> None:
    size = ["--videos", "1000", "--hours", "5"]
    status, output = plan(clone, "results/anet/video/0000/manifest.json", "--machine", "gpus=1,cores=2", *size)
    assert status == 0, output
    assert "1 node, each with 2 cores and 1 GPU (h100)" in output
    assert "dataset anet: 1,000 videos of 5.0 h in all" in output
    assert re.findall(r"^(\w+) (?:\(\w+\))? +(\d+) ", output, flags=re.MULTILINE) == [
        ("build_corpus", "1"),
        ("reencode", "1"),
    ]
    assert re.search(r"^total: \S+ s on the clock, 0\.0 GPU-hours", output, flags=re.MULTILINE)
    assert sorted(path.name for path in clone.iterdir() if not path.is_symlink()) == []


def test_a_job_that_needs_more_gpus_than_the_machine_has_is_one_error(clone: Path) -> None:
    (clone / "two.yaml").write_text("pretrain_encoder: {sa_tsp: {accumulate_steps: 2, world_size: 2}}\n")
    words = ["--machine", "gpus=1,cores=2", "--videos", "10", "--hours", "1", "--configfile", "two.yaml"]
    status, output = plan(clone, "results/anet/encoders/sa_tsp/manifest.json", *words)
    assert status == 2
    assert "pretrain_encoder sa_tsp needs 2 GPUs on one node, but gpus=1" in output.splitlines()[-1]


def test_plan_of_finished_results_is_empty(partial_run: Path) -> None:
    status, output = plan(partial_run, TARGET, "--configfile", "mine.yaml")
    assert (status, output.splitlines()[-1]) == (0, "nothing to do: everything is up to date")
    assert "mine.yaml changes for dataset demo:\n    build_corpus.fractions.enlarged: 0.1 -> 0.2\n" in output


def test_plan_names_the_changed_setting_and_module(partial_run: Path) -> None:
    (partial_run / "changed.yaml").write_text(FEW.replace("enlarged: 0.2, val: 0.3", "enlarged: 0.1, val: 0.4"))
    module = partial_run / "pipeline" / "datasets" / "tagger.py"
    code = module.read_text()
    try:
        module.write_text(f"{code}\nADDED = 1\n")
        status, output = plan(partial_run, TARGET, "--configfile", "changed.yaml")
    finally:
        module.write_text(code)
    assert status == 0, output
    planned, total = output[output.index("build_corpus ") :].split("total: 2 jobs\n")
    lines = planned.splitlines()
    assert "    setting build_corpus.fractions.enlarged: 0.2 -> 0.1" in lines
    assert "    code pipeline.datasets.tagger" in lines
    assert "    runs after: build_corpus" in lines
    assert "make_demo" not in planned
    assert re.fullmatch(
        r"\d+ s one after another, \d+ s with unlimited cores, 0 GPU-hours \(from past runs on this dataset\)\n",
        total,
    )
