"""How a job is run: its output, its status, and where it reports its progress."""

import subprocess
import sys
from pathlib import Path

from pipeline.io.progress import PROGRESS_FILE, progress_path

ROOT = Path(__file__).resolve().parents[2]


def run_job(log: Path, *command: str) -> "subprocess.CompletedProcess[str]":
    words = [sys.executable, "-m", "workflow.scripts.run_job", "--log", str(log), "--", *command]
    return subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)


def test_the_log_gets_all_output_and_the_status_is_the_commands(tmp_path: Path) -> None:
    log = tmp_path / "train.log"
    log.write_text("of an earlier run\n")
    process = run_job(log, sys.executable, "-c", "import sys; print('out', flush=True); sys.exit('err')")
    assert (process.returncode, process.stdout, process.stderr) == (1, "", "")
    assert log.read_text() == "out\nerr\n"


def test_the_command_replaces_the_process_so_that_signals_reach_it(tmp_path: Path) -> None:
    log = tmp_path / "train.log"
    words = [sys.executable, "-m", "workflow.scripts.run_job", "--log", str(log), "--"]
    process = subprocess.Popen([*words, sys.executable, "-c", "import os; print(os.getpid())"], cwd=ROOT)
    assert process.wait(timeout=60) == 0
    assert log.read_text() == f"{process.pid}\n"


def test_progress_goes_beside_the_log_and_a_report_of_an_earlier_run_is_removed(tmp_path: Path) -> None:
    log = tmp_path / "train.log"
    progress_path(log).write_text("[]")
    process = run_job(log, sys.executable, "-c", f"import os; print(os.environ['{PROGRESS_FILE}'])")
    assert process.returncode == 0
    assert log.read_text().strip() == str(progress_path(log))
    assert [path.name for path in tmp_path.iterdir()] == ["train.log"]


def test_a_log_that_cannot_be_written_is_a_warning_and_the_output_goes_on(tmp_path: Path) -> None:
    (tmp_path / "logs").write_text("a file in the place of the folder")
    log = tmp_path / "logs" / "train.log"
    process = run_job(log, sys.executable, "-c", f"import os; print(os.environ.get('{PROGRESS_FILE}'))")
    assert (process.returncode, process.stdout) == (0, "None\n")
    [warning] = process.stderr.splitlines()
    assert str(log) in warning


def test_a_program_that_does_not_exist_is_named_in_the_log(tmp_path: Path) -> None:
    log = tmp_path / "train.log"
    assert run_job(log, "no-such-program").returncode == 127
    assert "no-such-program" in log.read_text()
