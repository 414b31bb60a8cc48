"""The files that are generated from the typed configuration: `config/config.yaml` and `config/schema.json`.

`make generate` writes them, with all other generated files.
"""

import json
import textwrap
from typing import Any

from pydantic import BaseModel, RootModel

from pipeline.config.base import MACHINE
from pipeline.config.load import Config

HEADER = """\
# yaml-language-server: $schema=schema.json
# Every setting with its default. Defaults follow the paper where it states a value. This file is generated from
# pipeline/config/*.py (`make generate`); do not edit it. Settings of a dataset belong in config/datasets/<name>.yaml,
# settings of a run in your own file, given with --configfile. Both override this file key by key.
"""


def config_yaml() -> str:
    """Return the default configuration as YAML, each key under a comment with its description."""
    return HEADER + "".join(_lines(Config(), 0))


def schema_json() -> str:
    """Return the JSON schema of the configuration, for editors. No key is required, because overlays name only some."""
    schema = Config.model_json_schema()
    for part in [schema, *schema["$defs"].values()]:
        part.pop("required", None)
    return json.dumps(schema, indent=1, sort_keys=True) + "\n"


def _lines(section: BaseModel, depth: int) -> list[str]:
    indent = "  " * depth
    lines = []
    for name, field in type(section).model_fields.items():
        if depth == 0:
            lines.append("\n")
        assert field.description, f"{type(section).__name__}.{name} lacks a description"
        description = field.description + (" (changes no result)" if field.json_schema_extra == MACHINE else "")
        lines += [f"{indent}# {line}\n" for line in textwrap.wrap(description, 110 - len(indent))]
        lines += _entry(name, getattr(section, name), depth)
    return lines


def _entry(name: str, value: Any, depth: int) -> list[str]:
    indent = "  " * depth
    if isinstance(value, RootModel):
        value = value.root
    if isinstance(value, BaseModel):
        return [f"{indent}{name}:\n", *_lines(value, depth + 1)]
    if isinstance(value, dict) and value:
        entries = [line for key, entry in value.items() for line in _entry(key, entry, depth + 1)]
        return [f"{indent}{name}:\n", *entries]
    if isinstance(value, list) and value and isinstance(value[0], BaseModel):
        return [f"{indent}{name}:\n", *(f"{indent}  - {_flow(item.model_dump())}\n" for item in value)]
    return [f"{indent}{name}: {_flow(value)}\n"]


def _flow(value: Any) -> str:
    """Format a value in YAML's flow style; floats keep a point, because YAML reads `1e-4` as text."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_flow(entry)}" for key, entry in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_flow(entry) for entry in value) + "]"
    if isinstance(value, float):
        text = repr(value)
        return text.replace("e", ".0e") if "e" in text and "." not in text else text
    if isinstance(value, str) and value.replace("_", "").replace("/", "").replace(".", "").isalnum():
        return value if not value[0].isdigit() else json.dumps(value)
    return json.dumps(value)
