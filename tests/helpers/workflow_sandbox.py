"""Folders like a fresh clone, without results, and snakemake run in them."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from helpers.fork_server import fork_environment, forked_snakemake
from pipeline.config.load import stages

ROOT = Path(__file__).resolve().parents[2]

OWN_TEST = {"compare_systems", "compare_localization", "compare_results", "evaluate_clips", "analyze_clips"}
"""Optional stages whose results need many jobs, or a dataset of clips; tests of their own run them."""

TARGETS = [
    "results/demo_test_meteor.json",
    "results/demo/report/index.html",
    *(model.TARGET.format(dataset="demo") for name, model in stages().items() if model.TARGET and name not in OWN_TEST),
]
"""Results of an end-to-end run: the demo's, and those of the optional stages."""

SCORED_VIDEO = "v_oEtH744aJyZ"
"""A video of the split `test` of an end-to-end run with the settings of `tiny.yaml`."""


def link_clone(folder: Path) -> Path:
    """Fill a folder with links to everything but results, and return it."""
    for name in ("Snakefile", "workflow", "profiles", "config"):
        (folder / name).symlink_to(ROOT / name)
    return folder


def copy_project(folder: Path) -> Path:
    """Copy the project, with its tests and without its results, and return the folder."""
    folder.mkdir()
    for name in ("pipeline", "workflow", "config", "docs", "tests", "profiles"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"), symlinks=True)
    for path in (ROOT / "Snakefile", ROOT / "Makefile", ROOT / "pyproject.toml", *ROOT.glob("*.md")):
        shutil.copy2(path, folder / path.name)
    return folder


def run_module(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a module of a copy of the project, `python -m words`; `stdout` holds all output."""
    return subprocess.run(
        [sys.executable, "-m", *words],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": f"{folder}{os.pathsep}{folder / 'tests'}"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=600,
    )


def snakemake(
    folder: Path, *words: str, module: str = "snakemake", **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run snakemake in a folder.

    Args:
        folder: the folder.
        words: the command line.
        module: the module that runs snakemake; `helpers.fast_snakemake` makes no pauses.
        environment: environment variables to set.

    Returns:
        the process; `stdout` holds all output.
    """
    return subprocess.run(
        [sys.executable, "-m", module, *words],
        cwd=folder,
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=900,
    )


def run_pipeline(folder: Path) -> Path:
    """Run the full pipeline in a folder with the small settings of `tiny.yaml`, which is copied there.

    Snakemake and its jobs are forks: new processes would need most of their time for imports.
    """
    (folder / "tiny.yaml").write_text((ROOT / "tests" / "workflow" / "tiny.yaml").read_text())
    words = ["--cores", "2", *TARGETS, "--configfile", "tiny.yaml"]
    process = forked_snakemake(folder, *words, **fork_environment())
    assert process.returncode == 0, process.stdout
    return folder
