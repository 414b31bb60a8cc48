"""Folders like a fresh clone, with nothing made yet, and snakemake run in them."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TARGETS = ["results/demo_test_meteor.json", "results/demo_submission.json", "results/demo/report/index.html"]
"""Of the road."""


def link_clone(folder: Path) -> Path:
    """Fill a folder with links to everything but results."""
    for name in ("Snakefile", "workflow", "profiles", "config"):
        (folder / name).symlink_to(ROOT / name)
    return folder


def snakemake(folder: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run snakemake in a folder, with environment variables changed; all it says comes back in one text, stdout."""
    return subprocess.run(
        [sys.executable, "-m", "snakemake", *words],
        cwd=folder,
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=900,
    )


def walk_road(folder: Path) -> Path:
    """Run the whole road in a folder, as small as `tiny.yaml` makes it, which is copied there."""
    (folder / "tiny.yaml").write_text((ROOT / "tests" / "workflow" / "tiny.yaml").read_text())
    done = snakemake(folder, "--cores", "2", *TARGETS, "--configfile", "tiny.yaml")
    assert done.returncode == 0, done.stdout
    return folder
