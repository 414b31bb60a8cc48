"""Is a result that a document quotes still a result of today's code and settings?

The record is the JSON beside the document, a copy of what `compare_systems` wrote. It is stale if a code hash or a
setting that affects results differs from today's. The document must contain the notice of a stale record, and only of a
stale one.
"""

import importlib.util
from pathlib import Path
from typing import Any

from pipeline.config.base import Settings
from pipeline.provenance.code_hash import code_hash

STALE = "**Stale:**"
"""First word of the notice."""

ABSENT = object()


def notice(record: dict[str, Any]) -> str:
    """Return the lines by which a document states that its record is older than today's code or settings."""
    stages = ("make_demo", "pretrain_encoder", "train_captioner")
    hashes = ", ".join(f"{stage} `{record['code_hashes'][stage]}`" for stage in stages)
    return (
        f"> {STALE} measured with older code or settings than today's, and not repeated since. The code hashes were\n"
        f"> {hashes}."
    )


def check_notice(document: Path, record: dict[str, Any], changes: list[str]) -> None:
    """Assert that a document has the notice of its record if, and only if, something has changed since."""
    text = document.read_text(encoding="utf-8")
    if changes:
        assert notice(record) in text, f"{document}: add the notice; changed since: {', '.join(changes)}"
    assert text.count(STALE) == bool(changes), f"{document}: notices"


def changed_code(record: dict[str, Any]) -> list[str]:
    """Return the stages whose code hash differs from the recorded one; a stage that no longer exists differs."""
    return [stage for stage, recorded in record["code_hashes"].items() if recorded != _hash_today(stage)]


def changed_settings(recorded: dict[str, Any], today: dict[str, Settings]) -> list[str]:
    """Return the keys of settings that affect results and differ from the recorded ones.

    A key that the record lacks differs too: its default may change the result. Settings that only say how the machine
    is used do not count.

    Args:
        recorded: name (of an output, or of a section) -> its settings, plain data.
        today: name -> its settings today.
    """
    changes = []
    for name, section in today.items():
        results = section.result_settings()
        then = without_machine_settings(recorded[name], section.model_dump(mode="json"), results)
        changes += differing_keys(then, results, name)
    return changes


def without_machine_settings(recorded: Any, everything: Any, results: Any) -> Any:
    """Return recorded settings without the keys that today only say how the machine is used.

    Args:
        recorded: recorded settings, plain data.
        everything: all settings of today.
        results: those of today that affect results.
    """
    if isinstance(recorded, dict) and isinstance(everything, dict) and isinstance(results, dict):
        return {
            key: without_machine_settings(value, everything.get(key), results.get(key))
            for key, value in recorded.items()
            if key in results or key not in everything
        }
    lists = (recorded, everything, results)
    if all(isinstance(value, list) for value in lists) and len({len(value) for value in lists}) == 1:
        return [without_machine_settings(*values) for values in zip(*lists, strict=True)]
    return recorded


def differing_keys(recorded: Any, today: Any, key: str = "") -> list[str]:
    """Return the keys of plain data whose values differ, or that only one side has.

    Args:
        recorded: settings at the time of the measurement.
        today: settings of today.
        key: where both stand, for the answer.
    """
    if isinstance(recorded, dict) and isinstance(today, dict):
        names = list(dict.fromkeys([*recorded, *today]))
        pairs = [(name, recorded.get(name, ABSENT), today.get(name, ABSENT)) for name in names]
    elif isinstance(recorded, list) and isinstance(today, list) and len(recorded) == len(today):
        pairs = [(str(index), *values) for index, values in enumerate(zip(recorded, today, strict=True))]
    else:
        return [] if recorded == today else [key]
    return [differing for name, then, now in pairs for differing in differing_keys(then, now, f"{key}.{name}")]


def _hash_today(stage: str) -> str | None:
    module = f"pipeline.{stage}"
    return code_hash(module) if importlib.util.find_spec(module) else None
