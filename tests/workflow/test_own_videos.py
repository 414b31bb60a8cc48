"""docs/own_videos.md is followed: from ten films with subtitles to captions of another film."""

import re
import shlex
import shutil
from pathlib import Path

import pysubs2
import pytest
from helpers.fork_server import fork_environment, forked_snakemake
from helpers.video_files import write_video
from helpers.workflow_sandbox import ROOT, run_module

from pipeline.evaluation.predictions import read_predictions

pytestmark = [pytest.mark.end_to_end, pytest.mark.campaign]

SUBTITLES = """\
1
00:00:00,500 --> 00:00:05,000
A {colour} picture grows slowly.

2
00:00:05,500 --> 00:00:11,000
Then a {colour} square moves.
"""
COLOURS = ("red", "green", "blue", "white", "black")


def list_commands() -> list[list[str]]:
    """Return the commands of the numbered steps; each is one line."""
    steps = (ROOT / "docs" / "own_videos.md").read_text(encoding="utf-8").split("\n## ", 1)[0]
    return [shlex.split(line) for line in re.findall(r"^ {7}(\S.*)$", steps, flags=re.MULTILINE)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder like a fresh clone, with ten films, their subtitles and another film."""
    for name in ("Snakefile", "workflow", "profiles"):
        (tmp_path / name).symlink_to(ROOT / name)
    shutil.copytree(ROOT / "config", tmp_path / "config")  # a command writes into it
    films = tmp_path / "films"
    films.mkdir()
    film = write_video(films / "film_0.mp4", seconds=12, size="96x72", sound=True)
    for number in range(10):
        if number:
            shutil.copyfile(film, films / f"film_{number}.mp4")
        (films / f"film_{number}.srt").write_text(SUBTITLES.format(colour=COLOURS[number % len(COLOURS)]))
    shutil.copyfile(film, tmp_path / "another.mp4")
    return tmp_path


def test_the_steps_lead_from_films_with_subtitles_to_captions_of_another_film(folder: Path) -> None:
    commands = list_commands()
    assert [words[:2] for words in commands if words[0] == "sa-tsp"] == [["sa-tsp", "init"], ["sa-tsp", "caption"]]
    for program, *words in commands:
        if program == "snakemake":
            process = forked_snakemake(folder, *words, "--cores", "2", **fork_environment())
        else:
            process = run_module(folder, "pipeline.commands", *words)
        assert process.returncode == 0, process.stdout
    rows = read_predictions(folder / "captions" / "captions.json").results["another"]
    assert rows
    assert [cue.text for cue in pysubs2.load(str(folder / "captions" / "another.vtt"))] == [
        row["sentence"] for row in rows
    ]
    assert (folder / "captions" / "captions.html").is_file()
    assert (folder / "results" / "mine" / "report" / "index.html").is_file()
