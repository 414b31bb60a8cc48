"""Run the command of a job: its output goes to the log file, and the monitor of the run finds its progress there.

    python -m workflow.scripts.run_job --log LOG -- python -m pipeline.build_corpus ...

The command replaces this process. If the log file cannot be written, the output goes to the terminal, after a warning.
"""

import argparse
import os
import sys
from pathlib import Path

from pipeline.io.atomic import remove_stale_temporaries
from pipeline.io.progress import PROGRESS_FILE, progress_path


def redirect_output(log: Path) -> bool:
    """Send the output of this process to a file. Return whether that is possible; otherwise warn."""
    try:
        descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
    except OSError as error:
        print(
            f"warning: {log}: cannot be written ({error.strerror}); the output of this job goes to the terminal, and"
            " its progress is not shown",
            file=sys.stderr,
            flush=True,
        )
        return False
    for stream in (sys.stdout, sys.stderr):
        os.dup2(descriptor, stream.fileno())
    os.close(descriptor)
    return True


def progress_environment(log: Path) -> dict[str, str]:
    """Return the variable that tells the command where to report its progress; remove the report of an earlier run."""
    path = progress_path(log)
    try:
        remove_stale_temporaries(path)
        path.unlink(missing_ok=True)
    except OSError:
        return {}  # the folder cannot be written: the log file was there before
    return {PROGRESS_FILE: str(path)}


def main(argv: list[str] | None = None) -> int:
    """Command line: `--log LOG -- COMMAND...`; ends with the command's status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--log", type=Path, required=True, help="file for the output of the command")
    parser.add_argument("command", nargs=argparse.REMAINDER, help="after --")
    args = parser.parse_args(argv)
    command = args.command[1:] if args.command[:1] == ["--"] else args.command
    environment = dict(os.environ)
    environment |= progress_environment(args.log) if redirect_output(args.log) else {}
    try:
        os.execvpe(command[0], command, environment)  # noqa: S606
    except OSError as error:
        print(f"error: {command[0]}: {error.strerror}", file=sys.stderr)
        return 127


if __name__ == "__main__":
    raise SystemExit(main())
