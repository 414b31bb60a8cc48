"""What a user's configuration files change."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml
from snakemake.utils import update_config

from pipeline.config.load import load
from pipeline.errors import PipelineError
from pipeline.provenance.settings import KeyChange, changed_keys


def datasets_of(targets: list[str]) -> list[str]:
    """Datasets that targets name, as `results/<dataset>_test_meteor.json` or `results/<dataset>/...` do; sorted."""
    found = set()
    for target in targets:
        word = re.match(r"results/([a-z][a-z0-9_]*)", target)
        parts = word[1].split("_") if word else []
        names = ["_".join(parts[:count]) for count in range(len(parts), 0, -1)]
        found |= set(next(([name] for name in names if _is_dataset(name)), []))
    return sorted(found)


def _is_dataset(name: str) -> bool:
    try:
        load(name, {})
    except PipelineError:
        return False
    return True


def changes(dataset: str, overlays: list[Path]) -> dict[Path, list[KeyChange]]:
    """What each of a user's files changes in the configuration of a dataset, given those before it.

    A file that is right only together with a later one has no entry: what both change is the later one's.

    Raises:
        PipelineError: a file is absent, no YAML, or all together hold a wrong setting.
    """
    merged: dict[str, Any] = {}
    before = load(dataset, merged).model_dump(mode="json")
    found = {}
    for number, path in enumerate(overlays, start=1):
        update_config(merged, _read(path))
        try:
            after = load(dataset, merged).model_dump(mode="json")
        except PipelineError:
            if number == len(overlays):
                raise
            continue
        found[path] = changed_keys(before, after)
        before = after
    return found


def idle(datasets: Iterable[str], overlays: list[Path]) -> list[Path]:
    """Those of a user's files that change nothing for any of some datasets: a wrong file, or one too many.

    Raises:
        PipelineError: a file is absent, no YAML, or all together hold a wrong setting.
    """
    found = [changes(dataset, overlays) for dataset in datasets] if overlays else []
    return [path for path in overlays if found and not any(each.get(path, True) for each in found)]


def _read(path: Path) -> dict[str, Any]:
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise PipelineError(f"{path}: cannot be read ({error.strerror})") from None
    except yaml.YAMLError as error:
        raise PipelineError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None
    if data is not None and not isinstance(data, dict):
        raise PipelineError(f"{path}: expected a mapping of sections")
    return data or {}
