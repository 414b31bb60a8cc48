"""Settings compared key by key, and those of them that decide a result."""

import json
from functools import cache
from typing import Any, NamedTuple, get_args

from pipeline.config.base import MACHINE
from pipeline.config.load import Config
from pipeline.errors import PipelineError


class KeyChange(NamedTuple):
    """A key that differs.

    Attributes:
        key: path with dots, `loss.gamma_neg` say.
        before: its value, `(absent)` where there was none.
        after: likewise.
    """

    key: str
    before: str
    after: str

    def __str__(self) -> str:
        return f"{self.key}: {self.before} -> {self.after}"


ABSENT = "(absent)"
LONGEST = 60
"""Characters of a value that are shown."""


def changed_keys(before: Any, after: Any, key: str = "") -> list[KeyChange]:
    """Keys in which two settings differ, each as deep as both are mappings, sorted.

    Args:
        before: plain data.
        after: plain data.
        key: where they stand.
    """
    if before == after and type(before) is type(after):
        return []
    if not (isinstance(before, dict) and isinstance(after, dict)):
        return [KeyChange(key, show(before), show(after))]
    found = []
    for name in sorted(before.keys() | after.keys()):
        inner = f"{key}.{name}".strip(".")
        if name not in after or name not in before:
            pair = [show(side[name]) if name in side else ABSENT for side in (before, after)]
            found.append(KeyChange(inner, pair[0], pair[1]))
        else:
            found += changed_keys(before[name], after[name], inner)
    return found


def show(value: Any) -> str:
    """A value as JSON, cut where it is long."""
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."


def deciding(stage: str, config: Any) -> Any:
    """Of a stage's settings those that decide its result; told by their names where the stage has other settings now.

    Args:
        stage: name of a stage.
        config: its section, or an entry of it, plain data.
    """
    field = Config.model_fields.get(stage)
    section: Any = field.annotation if field else None
    entry = get_args(section)
    try:
        return (entry[1] if entry else section).parse(config, stage).deciding() if section else config
    except PipelineError:
        return {name: value for name, value in config.items() if name not in machine_names()}


@cache
def machine_names() -> frozenset[str]:
    """Names of the settings, whatever their section, that only say how the machine is used."""
    parts = Config.model_json_schema()["$defs"].values()
    marked = dict(MACHINE).items()
    return frozenset(
        name
        for part in parts
        for name, key in part.get("properties", {}).items()
        if all(key.get(mark) == said for mark, said in marked)
    )
