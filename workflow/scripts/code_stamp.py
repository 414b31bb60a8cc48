"""Stamp files: inputs of rules that change when, and only when, the code behind a stage changes."""

from pathlib import Path

from pipeline.io.atomic import write_text
from pipeline.provenance.code_hash import stamp
from pipeline.provenance.modules import keep_modules


def write_stamp(stage: str, folder: Path) -> str:
    """Write the stamp of a stage's code, if it is not what the file holds already, and return the file's path."""
    path = folder / f"{stage}.txt"
    text = stamp(f"pipeline.{stage}") + "\n"
    keep_modules(stage, folder)
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        write_text(path, text)
    return path.as_posix()
