"""Ends of commands: by a signal, by a fault of the machine."""

import errno
import os
import signal
from pathlib import Path

import pytest

from pipeline.config.command import command
from pipeline.io.atomic import replacing


def test_sigterm_removes_temporary_files_and_is_told_by_the_status(tmp_path: Path) -> None:
    @command
    def stage(argv: list[str] | None = None) -> int:
        with replacing(tmp_path / "scores.json") as temporary:
            temporary.write_text("half")
            os.kill(os.getpid(), signal.SIGTERM)
        return 0

    with pytest.raises(SystemExit) as ended:
        stage([])
    assert ended.value.code == 128 + signal.SIGTERM
    assert not list(tmp_path.iterdir())
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL, "as it was before"


def test_faults_of_the_machine_are_one_line_that_says_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    @command
    def stage(argv: list[str] | None = None) -> int:
        raise OSError(errno.ENOSPC, "No space left on device", "scratch/x.wav")

    assert stage([]) == 2
    said = capsys.readouterr().err
    assert said == (
        "error: scratch/x.wav: No space left on device; free space on this disk (temporary files go where TMPDIR "
        "says), then run the same command again\n"
    )


def test_faults_of_the_program_are_not_taken_for_the_machines() -> None:
    @command
    def stage(argv: list[str] | None = None) -> int:
        raise OSError(errno.EBADF, "Bad file descriptor")

    with pytest.raises(OSError, match="Bad file descriptor"):
        stage([])
