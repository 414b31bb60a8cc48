"""`python -m pipeline.commands.plan` in a folder like a fresh clone, and after a part of the road was run there."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.workflow_sandbox import ROOT, link_clone, snakemake

TARGET = "results/demo/concepts.json"
FEW = """
make_demo: {train_videos: 8, val_videos: 12, test_videos: 1, broken_videos: 0}
build_corpus: {fractions: {enlarged: 0.2, val: 0.3, test: 0.5}}
"""


def plan(folder: Path, *words: str) -> tuple[int, str]:
    """Status, and all that is said."""
    done = subprocess.run(
        [sys.executable, "-m", "pipeline.commands.plan", *words],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=900,
    )
    return done.returncode, done.stdout


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with code of its own, in which a few videos were drawn and their concepts mined."""
    folder = link_clone(tmp_path_factory.mktemp("begun"))
    shutil.copytree(ROOT / "pipeline", folder / "pipeline", ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "mine.yaml").write_text(FEW)
    done = snakemake(folder, TARGET, "--cores", "2", "--configfile", "mine.yaml")
    assert done.returncode == 0, done.stdout
    return folder


def test_a_fresh_clone_lacks_everything_and_knows_no_times(clone: Path) -> None:
    (clone / "mine.yaml").write_text("reencode: {fps: 30}\n")
    status, said = plan(clone, TARGET, "--configfile", "mine.yaml")
    assert status == 0, said
    assert "mine.yaml changes nothing for demo: all it says is so without it" in said
    assert re.findall(r"^(\w+) +(\d+) job ", said, flags=re.MULTILINE) == [
        ("make_demo", "1"),
        ("build_corpus", "1"),
        ("mine_concepts", "1"),
    ]
    assert "    not there yet: results/demo/corpus/manifest.json\n" in said
    assert "3 jobs in all\ntime and GPU-hours unknown, since never run on this dataset: make_demo (1), " in said
    assert not (clone / "results" / "demo").exists(), "nothing is run"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["results/nope_test_meteor.json"], "error: no dataset 'nope'"),
        (["no_such_target"], "error: snakemake cannot plan this: "),
    ],
)
def test_what_cannot_be_planned_is_one_plain_line(clone: Path, words: list[str], said: str) -> None:
    status, text = plan(clone, *words)
    assert (status, text.count("\n")) == (2, 1), text
    assert said in text


def test_what_is_there_is_not_planned(begun: Path) -> None:
    status, said = plan(begun, TARGET, "--configfile", "mine.yaml")
    assert (status, said.splitlines()[-1]) == (0, "nothing to do: all is there, and up to date")
    assert "mine.yaml changes for demo\n    build_corpus.fractions.enlarged: 0.4 -> 0.2\n" in said


def test_the_setting_and_the_module_that_changed_are_named_with_what_follows(begun: Path) -> None:
    (begun / "changed.yaml").write_text(FEW.replace("enlarged: 0.2, val: 0.3", "enlarged: 0.1, val: 0.4"))
    module = begun / "pipeline" / "concepts" / "tagger.py"
    code = module.read_text()
    try:
        module.write_text(f"{code}\nADDED = 1\n")
        status, said = plan(begun, TARGET, "--configfile", "changed.yaml")
    finally:
        module.write_text(code)
    assert status == 0, said
    planned, total = said[said.index("build_corpus ") :].split("2 jobs in all\n")
    lines = planned.splitlines()
    assert "    setting build_corpus.fractions.enlarged: 0.2 -> 0.1" in lines
    assert "    code pipeline.datasets.tagger" in lines
    assert "    follows: build_corpus" in lines
    assert "make_demo" not in planned
    assert re.fullmatch(
        r"\d+ s one after another, \d+ s with any number of cores, 0 GPU-hours \(from past runs on this dataset\)\n",
        total,
    )
