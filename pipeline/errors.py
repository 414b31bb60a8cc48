"""The one exception whose message is written for the user."""

import difflib
import sys
from collections.abc import Iterable
from types import TracebackType


class PipelineError(Exception):
    """An error that the user can correct. The message says what, where (file, key, video) and what to do.

    Commands print it as one line and end with status 2. Any other exception is a bug and keeps its traceback.
    """


MAX_NAMES = 12
"""Number of known names that an error lists."""


def nearest(name: str, names: Iterable[str]) -> str:
    """Return the end of an error about an unknown name: the nearest known one, or the known ones if none is near."""
    names = sorted(names)
    matches = difflib.get_close_matches(name, names, n=1)
    if matches:
        return f"; did you mean {matches[0]!r}?"
    more = f" and {len(names) - MAX_NAMES} more" if len(names) > MAX_NAMES else ""
    return f"; known: {', '.join(names[:MAX_NAMES])}{more}"


def print_uncaught(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
    """Print an uncaught PipelineError as one line and exit with status 2; for `sys.excepthook`.

    Commands catch their errors themselves. This one prints the errors of imports, which come before any command runs:
    for example an invalid entry of a registry.
    """
    if not issubclass(kind, PipelineError):
        sys.__excepthook__(kind, error, traceback)
        return
    print(f"error: {error}", file=sys.stderr)
    raise SystemExit(2)
