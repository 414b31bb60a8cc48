"""What every command line of the pipeline shares: the section as JSON, plain errors, a log of what happens."""

import argparse
import functools
import json
import logging
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from pipeline.config.base import Settings
from pipeline.config.errors import PipelineError

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
            return function(argv)
        except PipelineError as error:
            print(f"error: {error}", file=sys.stderr)
            return 2

    return run
