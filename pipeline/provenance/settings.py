"""Settings compared key by key: of two runs, and of the configuration with and without the user's files."""

import json
import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from pipeline.config.base import MACHINE
from pipeline.config.dataset_names import dataset_of_result
from pipeline.config.load import Config, load_config, read_yaml, stages
from pipeline.errors import PipelineError
from pipeline.provenance.record import Record

ABSENT = "(absent)"
MAX_LENGTH = 60
"""Longest text of a value, in characters."""


class KeyChange(NamedTuple):
    """A key that has two values.

    Attributes:
        key: path with dots, for example `loss.gamma_neg`.
        before: the first value as text, `(absent)` where the key was absent.
        after: the second value, likewise.
    """

    key: str
    before: str
    after: str

    def __str__(self) -> str:
        return f"{self.key}: {self.before} -> {self.after}"


def changed_keys(before: Any, after: Any, key: str = "") -> list[KeyChange]:
    """Return the keys in which two settings differ, sorted. Mappings are compared key by key at every depth.

    Args:
        before: plain data.
        after: plain data.
        key: path of the two values.
    """
    if before == after and type(before) is type(after):
        return []
    if not (isinstance(before, dict) and isinstance(after, dict)):
        return [KeyChange(key, _shorten(before), _shorten(after))]
    changes = []
    for name in sorted(before.keys() | after.keys()):
        path = f"{key}.{name}".strip(".")
        if name not in after or name not in before:
            texts = [_shorten(side[name]) if name in side else ABSENT for side in (before, after)]
            changes.append(KeyChange(path, texts[0], texts[1]))
        else:
            changes += changed_keys(before[name], after[name], path)
    return changes


def _shorten(value: Any) -> str:
    """Format a value as JSON and cut long text."""
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= MAX_LENGTH else f"{text[:MAX_LENGTH]}..."


def result_settings(stage: str, config: Any) -> Any:
    """Return the settings of a stage that affect its results, without those of the machine.

    Settings that the stage no longer accepts are filtered by name.

    Args:
        stage: name of a stage.
        config: the stage's section, or one entry of it, as plain data.
    """
    if stage not in stages():
        return config
    try:
        return stages()[stage].parse(config, stage).result_settings()
    except PipelineError:
        return {name: value for name, value in config.items() if name not in machine_setting_names()}


@cache
def machine_setting_names() -> frozenset[str]:
    """Return the names of all settings, of any section, that only describe the use of the machine."""
    models = Config.model_json_schema()["$defs"].values()
    mark = dict(MACHINE).items()
    return frozenset(
        name
        for model in models
        for name, schema in model.get("properties", {}).items()
        if all(schema.get(key) == value for key, value in mark)
    )


def command_arguments(record: Record) -> dict[str, str]:
    """Return the arguments of a recorded command line, except the settings, files and options of the machine.

    Returns:
        option -> value, for example `{"--seed": "3"}`.
    """
    arguments: dict[str, list[str]] = {}
    option = ""
    for word in record.command[1:]:
        if word.startswith("--"):
            option = word
            arguments[option] = []
        else:
            arguments.setdefault(option, []).append(word)
    ignored = machine_setting_names() | {"config"}
    return {
        option: " ".join(words)
        for option, words in arguments.items()
        if option.strip("-").replace("-", "_") not in ignored and not any(map(_is_file_name, words))
    }


def _is_file_name(word: str) -> bool:
    """Return whether a word of a command line names a file: it has a folder, or a suffix that is not a fraction."""
    return "/" in word or re.fullmatch(r"\.[a-z]\w*", Path(word).suffix) is not None


def datasets_of_targets(targets: Iterable[str]) -> list[str]:
    """Return the datasets of some targets (`results/<dataset>_test_meteor.json`, `results/<dataset>/...`), sorted."""
    datasets = {dataset for target in targets if (dataset := dataset_of_result(target))}
    return sorted(filter(_is_dataset, datasets))


def _is_dataset(name: str) -> bool:
    try:
        load_config(name, {})
    except PipelineError:
        return False
    return True


def overlay_changes(dataset: str, overlays: list[Path]) -> dict[Path, list[KeyChange]]:
    """Return what each of the user's configuration files changes for a dataset, given the files before it.

    A file that is valid only together with a later one has no entry: the later file's entry holds the changes of both.

    Args:
        dataset: name of a dataset.
        overlays: the files, in the order of the command line.

    Raises:
        PipelineError: a file is absent or is not YAML, or the files together hold an invalid setting.
    """
    # Snakemake merges --configfile by this function. It is imported here because it loads all of snakemake.
    from snakemake.utils import update_config

    merged: dict[str, Any] = {}
    before = load_config(dataset, merged).model_dump(mode="json")
    changes = {}
    for number, path in enumerate(overlays, start=1):
        update_config(merged, read_yaml(path))
        try:
            after = load_config(dataset, merged).model_dump(mode="json")
        except PipelineError:
            if number == len(overlays):
                raise
            continue
        changes[path] = changed_keys(before, after)
        before = after
    return changes


def ineffective_overlays(datasets: Iterable[str], overlays: list[Path]) -> list[Path]:
    """Return the user's configuration files that change nothing for any of the datasets.

    Raises:
        PipelineError: a file is absent or is not YAML, or the files together hold an invalid setting.
    """
    changes = [overlay_changes(dataset, overlays) for dataset in datasets] if overlays else []
    return [path for path in overlays if changes and not any(each.get(path, True) for each in changes)]
