"""The files that follow from the typed configuration: `config/config.yaml` and `config/schema.json`.

Alone:
    python -m pipeline.config.schema            # says whether the files are as the code has it
    python -m pipeline.config.schema --write    # writes them anew
"""

import json
import textwrap
from pathlib import Path
from typing import Any

from pydantic import BaseModel, RootModel

from pipeline.config.base import MACHINE
from pipeline.config.command import command, parser
from pipeline.config.load import CONFIG, Config
from pipeline.errors import PipelineError
from pipeline.io.atomic import write_text

HEADER = """\
# yaml-language-server: $schema=schema.json
# Every setting with its default, which is the paper's where the paper tells. This file is generated from
# pipeline/config/*.py (`python -m pipeline.config.schema --write`). Do not edit it for a run: what a dataset needs
# stands in config/datasets/<name>.yaml, what a run needs in a file of your own, given with --configfile; both are laid
# over this one, key by key.
"""


def config_yaml() -> str:
    """The default configuration as YAML, each key under a comment that explains it."""
    return HEADER + "".join(_lines(Config(), 0))


def schema_json() -> str:
    """JSON schema of the configuration, for editors. Overlays name only some keys, so no key is required."""
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
        said = field.description + (" (changes no result)" if field.json_schema_extra == MACHINE else "")
        lines += [f"{indent}# {line}\n" for line in textwrap.wrap(said, 110 - len(indent))]
        lines += _entry(name, getattr(section, name), depth)
    return lines


def _entry(name: str, value: Any, depth: int) -> list[str]:
    indent = "  " * depth
    if isinstance(value, RootModel):
        value = value.root
    if isinstance(value, BaseModel):
        return [f"{indent}{name}:\n", *_lines(value, depth + 1)]
    if isinstance(value, dict) and value:
        inside = [line for key, entry in value.items() for line in _entry(key, entry, depth + 1)]
        return [f"{indent}{name}:\n", *inside]
    if isinstance(value, list) and value and isinstance(value[0], BaseModel):
        return [f"{indent}{name}:\n", *(f"{indent}  - {_flow(item.model_dump())}\n" for item in value)]
    return [f"{indent}{name}: {_flow(value)}\n"]


def _flow(value: Any) -> str:
    """A value in YAML's flow style; floats keep a point, because YAML reads `1e-4` as text."""
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


def generated() -> dict[Path, str]:
    """Path and text of each generated file."""
    return {CONFIG / "config.yaml": config_yaml(), CONFIG / "schema.json": schema_json()}


@command
def main(argv: list[str] | None = None) -> int:
    """Command line."""
    arguments = parser(__doc__)
    arguments.add_argument("--write", action="store_true", help="write the files instead of comparing them")
    args = arguments.parse_args(argv)
    for path, text in generated().items():
        if args.write:
            write_text(path, text)
        elif not path.is_file() or path.read_text(encoding="utf-8") != text:
            raise PipelineError(f"{path} is not as pipeline/config has it: python -m pipeline.config.schema --write")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
