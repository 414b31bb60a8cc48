"""Runs of snakemake as users see them: on terminals of several widths, and without a terminal."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers.campaigns import quick_cases
from helpers.disks import mount_small_disk
from helpers.terminal import Screen, TerminalProgram

ROOT = Path(__file__).resolve().parents[2]

SNAKEFILE = """
import sys
from pipeline.monitor.handler import monitor_run
from pipeline.monitor.logs import move_unwritable_logs

monitor = monitor_run(workflow, line_interval_s=0.1)


onerror:
    if monitor:
        monitor.close()
    print("To resume: the same command", file=sys.stderr)


rule all:
    input:
        "results/demo/first.done",
        "results/demo/second.done",


rule train:
    output:
        "results/{dataset}/{name}.done",
    log:
        "results/{dataset}/logs/train/{name}.log",
    benchmark:
        "results/{dataset}/benchmarks/train/{name}.jsonl"
    shell:
        "python -m workflow.scripts.run_job --log {log:q} -- python job.py {wildcards.name} {output:q}"


move_unwritable_logs(workflow, ["demo"])
"""

JOB = """
import logging
import sys
import time
from pathlib import Path

from pipeline.io.progress import Progress

logging.basicConfig(level=logging.INFO)
name, output = sys.argv[1:]
epochs = Progress("epochs", 4)
epochs.step()
time.sleep(1.0)  # the file is written once a second
steps = Progress("steps", 10)
steps.step(5)
print("Traceback of", name, "\\n".join(f"line {number}" for number in range(30)))
while not (Path("end").exists() or Path(f"end-{name}").exists()):
    time.sleep(0.05)
if Path(f"fail-{name}").exists():
    sys.exit(f"error: {name} has no more data")
Path(output).touch()
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "Snakefile").write_text(SNAKEFILE)
    (tmp_path / "job.py").write_text(JOB)
    return tmp_path


def environment(**variables: str) -> dict[str, str]:
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    return {
        **{name: value for name, value in os.environ.items() if name != "NO_COLOR"},
        **{"PATH": path, "PYTHONPATH": str(ROOT), "TERM": "xterm-256color", **variables},
    }


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "snakemake", "--cores", "2", "--keep-going", "--show-failed-logs", *words]


def on_terminal(folder: Path, *words: str, columns: int = 100, **variables: str) -> TerminalProgram:
    return TerminalProgram(command(*words), folder, columns, 40, environment(**variables))


def without_terminal(folder: Path, *words: str, **variables: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        command(*words), cwd=folder, env=environment(**variables), stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True,
    )  # fmt: skip


def live_lines(screen: Screen) -> list[str]:
    """Return the lines at the bottom of the screen, from the first job on."""
    is_job = [line.startswith(("train first", "train second")) for line in screen.lines]
    return [line for line in screen.lines[is_job.index(True) :] if line] if any(is_job) else []


def last_line(screen: Screen) -> str:
    """Return the last line that is not empty: of the live lines, the one about the whole run."""
    return next((line for line in reversed(screen.lines) if line), "")


def has_colour(program: TerminalProgram) -> bool:
    return re.search(r"\033\[[0-9;]*m", program.output) is not None


def shows(count: int, fact: str) -> Callable[[Screen], bool]:
    """Return the condition that a fact stands in as many of the live lines."""
    return lambda screen: sum(fact in line for line in live_lines(screen)) == count


@pytest.mark.parametrize(("columns", "num_lines"), [(40, 5), pytest.param(100, 3, marks=pytest.mark.campaign)])
def test_a_terminal_shows_the_running_jobs_and_then_only_what_stays(folder: Path, columns: int, num_lines: int) -> None:
    with on_terminal(folder, columns=columns) as program:
        screen = program.wait_for(shows(2, "1 of 4 epochs"))
        lines = live_lines(screen)
        assert len(lines) == num_lines
        assert all(len(line) < columns for line in lines)
        assert sum("left" in line for line in lines) == 3, "two jobs and the whole"
        assert "0 of 3 jobs" in lines[-1]
        (folder / "end-first").touch()
        screen = program.wait_for(lambda screen: "1 of 3 jobs" in last_line(screen))
        (folder / "end").touch()
        screen = program.wait()
    assert program.process.returncode == 0
    assert [re.sub(r"\d+ s", "N s", line) for line in live_lines(screen)[:2]] == [
        "train first: N s",
        "train second: N s",
    ]
    assert not any("epochs" in line or "of 3 jobs" in line for line in screen.lines)
    assert not list(folder.rglob("*.progress.json"))
    assert "reason:" in next((folder / ".snakemake" / "log").iterdir()).read_text()


def test_a_second_run_estimates_its_time_from_the_first(folder: Path) -> None:
    (folder / "end").touch()
    with without_terminal(folder) as process:
        process.communicate(timeout=60)
    (folder / "end").unlink()
    with on_terminal(folder, "--forcerun", "train") as program:
        program.wait_for(lambda screen: re.search(r"about .* left", last_line(screen)) is not None)
        (folder / "end").touch()
        program.wait()


def test_the_log_of_a_failed_job_stands_whole_above_the_running_jobs(folder: Path) -> None:
    (folder / "fail-first").touch()
    (folder / "end-first").touch()
    with on_terminal(folder) as program:
        screen = program.wait_for(lambda screen: "1 failed" in last_line(screen))
        assert any(line.startswith("train second") for line in live_lines(screen))
        (folder / "end").touch()
        screen = program.wait()
    assert program.process.returncode == 1
    assert has_colour(program), "without NO_COLOR, snakemake's messages have colours"
    text = "\n".join(screen.lines)
    assert all(f"\nline {number}\n" in text for number in range(1, 30))
    assert "error: first has no more data" in text
    assert "To resume: the same command" in text


def test_no_color_is_respected(folder: Path) -> None:
    (folder / "end").touch()
    with on_terminal(folder, NO_COLOR="1") as program:
        program.wait()
    assert program.process.returncode == 0
    assert "\033[J" in program.output
    assert not has_colour(program)


def test_ctrl_c_removes_the_live_lines(folder: Path) -> None:
    with on_terminal(folder) as program:
        program.wait_for(shows(2, "1 of 4 epochs"))
        program.interrupt()
        screen = program.wait()
    assert program.process.returncode != 0
    assert not any("of 3 jobs" in line for line in screen.lines)
    assert any("To resume" in line for line in screen.lines)


@pytest.mark.parametrize("words", quick_cases([["--dry-run"], ["--quiet"]], 1))
def test_dry_and_quiet_runs_show_nothing_more(folder: Path, words: list[str]) -> None:
    (folder / "end").touch()
    with on_terminal(folder, *words) as program:
        screen = program.wait()
    assert program.process.returncode == 0
    assert "\033[J" not in program.output
    assert not any(line.startswith("train ") and " s" in line for line in screen.lines)


@pytest.mark.parametrize("variables", quick_cases([{}, {"TERM": "dumb"}], 1), ids=["no terminal", "a dumb terminal"])
def test_elsewhere_a_line_at_each_interval_and_no_control_characters(folder: Path, variables: dict[str, str]) -> None:
    if variables:
        with on_terminal(folder, **variables) as program:
            program.wait_for(lambda screen: any("1 of 4 epochs" in line for line in screen.lines))
            (folder / "end").touch()
            program.wait()
        output, status = program.output.replace("\r\n", "\n"), program.process.returncode
    else:
        with without_terminal(folder) as process:
            assert process.stdout
            output = ""
            while "1 of 4 epochs" not in output:
                line = process.stdout.readline()
                assert line, output
                output += line
            (folder / "end").touch()
            rest, _ = process.communicate(timeout=60)
        output, status = output + rest, process.returncode
    assert status == 0
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f]", output)
    line = next(line for line in output.splitlines() if "1 of 4 epochs" in line)
    assert "0 of 3 jobs" in line
    assert "train " in line
    for message in ("reason: Missing output files", "Finished jobid", "3 of 3 steps (100%) done"):
        assert message in output


def test_a_log_folder_that_cannot_be_written_stops_no_job(folder: Path) -> None:
    (folder / "end").touch()
    logs = folder / "results" / "demo" / "logs" / "train"
    logs.mkdir(parents=True)
    with mount_small_disk(logs, 4096, "ro"):
        process = without_terminal(folder)
        output, _ = process.communicate(timeout=60)
    assert process.returncode == 0, output
    [warning] = [line for line in output.splitlines() if line.startswith("warning:")]
    assert "results/demo/logs/train" in warning
    assert ".snakemake/results/demo" in warning
    for name in ("first", "second"):
        assert (folder / "results" / "demo" / f"{name}.done").exists()
        log = folder / ".snakemake" / "results" / "demo" / "logs" / "train" / f"{name}.log"
        assert f"Traceback of {name}" in log.read_text()
