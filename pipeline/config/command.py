"""What every command line of the pipeline shares: the section as JSON, plain errors, a log of what happens."""

import argparse
import contextlib
import errno
import functools
import json
import logging
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn, TypeVar

from pipeline.config.base import Settings
from pipeline.errors import PipelineError

OF_THE_MACHINE = {
    errno.ENOSPC: "free space on this disk (temporary files go where TMPDIR says)",
    errno.EDQUOT: "free some of this disk's quota (temporary files go where TMPDIR says)",
    errno.EROFS: "make it writable or give another output",
    errno.EACCES: "make it accessible",
    errno.EMFILE: "allow more open files (ulimit -n)",
    errno.EIO: "the disk is failing: copy what is there to another",
}
"""Faults that no input and no code is to blame for, and what helps."""

S = TypeVar("S", bound=Settings)

Main = Callable[..., int]


def parser(doc: str | None, **kwargs: Any) -> argparse.ArgumentParser:
    """An argument parser whose description is the module's docstring, shown as written."""
    return argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter, **kwargs)


def add_config(arguments: argparse.ArgumentParser, section: type[Settings], name: str) -> None:
    """Add `--config`: the stage's own section as JSON, or @FILE; keys that are left out keep their defaults."""
    arguments.add_argument(
        "--config",
        metavar="JSON|@FILE",
        default="{}",
        help=f"the section `{name}` of the configuration; defaults: {section.__module__}",
    )


def read_config(text: str, section: type[S], name: str) -> S:
    """Parse what `--config` was given.

    Raises:
        PipelineError: not JSON, or not a valid section.
    """
    if text.startswith("@"):
        path = Path(text[1:])
        if not path.is_file():
            raise PipelineError(f"--config {text}: no such file")
        text = path.read_text(encoding="utf-8")
    try:
        data = json.loads(text)
    except json.JSONDecodeError as error:
        raise PipelineError(f"--config: not JSON ({error}); give an object or @FILE") from None
    return section.parse(data, name)


def command(function: Main) -> Main:
    """Turn `main(argv=None) -> int` into a command: errors meant for the user become one line and status 2."""

    @functools.wraps(function)
    def run(argv: list[str] | None = None) -> int:
        logging.basicConfig(
            level=logging.INFO,
            format="%(asctime)s %(message)s",
            datefmt="%H:%M:%S",
            stream=sys.stderr,
            force=True,
        )
        try:
            with heeding_sigterm():
                return function(argv)
        except PipelineError as error:
            print(f"error: {error}", file=sys.stderr)
            return 2
        except OSError as error:
            if error.errno not in OF_THE_MACHINE:
                raise
            print(f"error: {told(error)}", file=sys.stderr)
            return 2

    return run


def told(error: OSError) -> str:
    """A fault of the machine as a user needs it: where, what, and what to do."""
    where = f"{error.filename}: " if error.filename else ""
    return f"{where}{error.strerror}; {OF_THE_MACHINE[error.errno or 0]}, then run the same command again"


@contextlib.contextmanager
def heeding_sigterm() -> Iterator[None]:
    """Let SIGTERM, by which schedulers end a job, unwind the block as Ctrl-C does: temporary files are removed."""
    ours = threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    if ours:
        heed_sigterm()
    try:
        yield
    finally:
        if ours:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)


def heed_sigterm() -> None:
    """From now on SIGTERM ends this process as `sys.exit` does."""
    signal.signal(signal.SIGTERM, _leave)


def _leave(number: int, _frame: FrameType | None) -> NoReturn:
    sys.exit(128 + number)
