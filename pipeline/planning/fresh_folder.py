"""A folder like a fresh clone in which every input file is there, to plan a run before anything was downloaded."""

import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pipeline.config.encoders import PUBLISHED_WEIGHTS, WEIGHTS_FOLDER
from pipeline.config.load import Config

LINKS = ("Snakefile", "workflow", "config", "profiles")
"""What snakemake reads to plan."""
_FILE = re.compile(r"(?!results/)[\w.-]+(?:/[\w.-]+)*\.[A-Za-z]\w*")
_FOLDER = re.compile(r"(?!results/)[\w-]+(?:/[\w.-]+)+/?")


@contextmanager
def fresh_folder(project: Path, configs: Iterable[Config]) -> Iterator[Path]:
    """Make a temporary folder with the rules of a project and an empty file for every input file that is configured.

    Args:
        project: the folder in which snakemake would run.
        configs: configurations of the planned datasets.
    """
    folder = Path(tempfile.mkdtemp(prefix="sa-tsp-plan-"))
    try:
        for name in LINKS:
            if (project / name).exists():
                (folder / name).symlink_to((project / name).absolute())
        for config in configs:
            for path in sorted(set(_input_paths(config.model_dump(mode="json")))):
                _make_stub(folder, path)
        yield folder
    finally:
        shutil.rmtree(folder)


def _input_paths(settings: Any) -> Iterator[str]:
    """Yield all texts in some settings that are relative paths outside the results, and the files of weights."""
    if isinstance(settings, dict):
        for key, value in settings.items():
            yield from _input_paths(key)
            yield from _input_paths(value)
    elif isinstance(settings, list):
        for value in settings:
            yield from _input_paths(value)
    elif isinstance(settings, str):
        if settings in PUBLISHED_WEIGHTS:
            yield (WEIGHTS_FOLDER / PUBLISHED_WEIGHTS[settings].file_name).as_posix()
        elif ".." not in settings and (_FILE.fullmatch(settings) or _FOLDER.fullmatch(settings)):
            yield settings


def _make_stub(folder: Path, path: str) -> None:
    stub = folder / path
    if stub.exists() or any(parent.is_file() for parent in stub.parents):
        return
    if _FILE.fullmatch(path):
        stub.parent.mkdir(parents=True, exist_ok=True)
        stub.write_text("{}", encoding="utf-8")
    else:
        stub.mkdir(parents=True)
