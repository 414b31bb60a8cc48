"""What CONTRIBUTING.md tells to write is written, in a copy of the project, and the real stages run with it."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers.caption_corpus import write_caption_corpus
from helpers.video_files import write_video

from pipeline.datasets.corpus import Corpus
from pipeline.features.store import FeatureStore

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")


def blocks(heading: str) -> list[tuple[str, Path, str]]:
    """Kind, file and text of each block of code below a heading."""
    below = TEXT.split(f"## {heading}\n", 1)[1].split("\n## ", 1)[0]
    matches = re.findall(r"^```(\w+)\n# (\S+)\n(.*?)^```$", below, flags=re.MULTILINE | re.DOTALL)
    return [(kind, Path(path), text) for kind, path, text in matches]


def follow(folder: Path, heading: str) -> None:
    """Do what a part of the page says."""
    for kind, path, text in blocks(heading):
        file = folder / path
        if kind != "diff":
            assert not file.exists()
            file.write_text(text, encoding="utf-8")
            continue
        for before, added in re.findall(r"^ (.*)\n((?:\+.*\n)+)", text, flags=re.MULTILINE):
            lines = file.read_text(encoding="utf-8").splitlines()
            assert lines.count(before) == 1, f"{path}: {before!r}"
            position = lines.index(before) + 1
            lines[position:position] = [line.removeprefix("+") for line in added.splitlines()]
            file.write_text("\n".join(lines) + "\n", encoding="utf-8")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of the code, links to what surrounds it."""
    folder = tmp_path / "project"
    shutil.copytree(ROOT / "pipeline", folder / "pipeline", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "config", folder / "config")
    for name in ("Snakefile", "workflow", "profiles"):
        (folder / name).symlink_to(ROOT / name)
    return folder


def run(folder: Path, *words: str) -> None:
    """Run a module of the copy."""
    done = subprocess.run(
        [sys.executable, "-m", *words],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(folder)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout


def test_an_extractor_is_one_file_and_its_spec(project: Path) -> None:
    follow(project, "Add an extractor")
    write_video(project / "films" / "a.mp4", seconds=2.0, fps="30")
    words = ["--features", "brightness", "--weights", "random", "--videos", "films", "--output", "OUT"]
    run(project, "pipeline.commands", "features", *words)
    store = FeatureStore(project / "OUT" / "brightness")
    rows = store.read("a")
    assert rows.shape == (4, 3)
    assert np.all((rows > 0) & (rows < 1))


def test_a_captioner_is_one_file_and_its_spec(project: Path) -> None:
    follow(project, "Add a captioner")
    small = write_caption_corpus(project, {"train": 4})
    config = {"architecture": "gru", "features": ["toy"], "hidden": 8, "epochs": 1, "selection": "last"}
    manifest = project / "captioner" / "manifest.json"
    words = ["--config", json.dumps(config), *small.arguments(), "--vocabulary", str(small.vocabulary), "--seed", "0"]
    run(project, "pipeline.train_captioner", *words, "--state", "state", "--output", str(manifest))
    assert json.loads((manifest.parent / "config.json").read_text())["architecture"] == {"architecture": "gru", "hidden": 8}
    proposals = project / "gt.json"
    inputs = ["--corpus", str(small.manifest)]
    run(project, "pipeline.propose_events", "--config", '{"kind": "gt"}', *inputs, "--output", str(proposals))
    words = [*small.arguments(), "--captioner", str(manifest), "--proposals", str(proposals), "--split", "train"]
    run(project, "pipeline.generate_captions", *words, "--output", "captions.json")
    assert len(json.loads((project / "captions.json").read_text())["results"]) == 4


def test_a_dataset_is_one_file_and_its_line(project: Path) -> None:
    follow(project, "Add a dataset")
    (project / "data" / "mine").mkdir(parents=True)
    (project / "data" / "mine" / "a.mp4").touch()
    (project / "data" / "mine.lines").write_text("a 10 1 3.5 wash the dog\na 10 5 12 dry it\n")
    run(project, "snakemake", "--cores", "1", "--quiet", "all", "--", "results/mine/corpus/manifest.json")
    corpus = Corpus.open(project / "results" / "mine" / "corpus" / "manifest.json")
    assert [(row.video, row.split, row.duration) for row in corpus.videos] == [("a", "train", 10.0)]
    segments = [(row.start, row.end, row.label) for row in corpus.segments]
    assert segments == [(1.0, 3.5, "wash the dog"), (5.0, 10.0, "dry it")]


def test_every_block_of_the_page_is_tried() -> None:
    headings = ("Add an extractor", "Add a captioner", "Add a dataset")
    assert TEXT.count("```") == 2 * sum(len(blocks(heading)) for heading in headings)
