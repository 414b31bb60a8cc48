"""Numbers in the documents were measured with the settings of today: what the tests of their claims share."""

from typing import Any

from pipeline.config.base import Settings


def differing(measured: Any, today: Any, key: str = "") -> list[str]:
    """Keys of settings that are not what they were; those that came since have defaults that change nothing.

    Args:
        measured: settings at the time of the measurement, plain data.
        today: those that hold now.
        key: where they stand.
    """
    if isinstance(measured, dict) and isinstance(today, dict):
        pairs = [(name, value, today.get(name)) for name, value in measured.items()]
    elif isinstance(measured, list) and isinstance(today, list) and len(measured) == len(today):
        pairs = [(str(place), one, other) for place, (one, other) in enumerate(zip(measured, today, strict=True))]
    else:
        return [] if measured == today else [key]
    return [at for name, one, other in pairs for at in differing(one, other, f"{key}.{name}")]


def decided_otherwise(measured: dict[str, Any], sections: dict[str, Settings]) -> list[str]:
    """Keys of settings that decide results and are not what they were: not those that say how the machine was used.

    Args:
        measured: output -> the settings that it was made with, plain data.
        sections: output -> those that it would be made with today.
    """
    return [
        key
        for path, section in sections.items()
        for key in differing(type(section).parse(measured[path], path).deciding(), section.deciding(), path)
    ]
