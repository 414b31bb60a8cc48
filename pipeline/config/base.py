"""What every section of the configuration has in common: strict, frozen, canonical."""

import hashlib
import json
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, RootModel, ValidationError
from pydantic.config import JsonDict

from pipeline.errors import PipelineError

MACHINE: JsonDict = {"machine": True}
"""Mark (`json_schema_extra`) of settings that only say how the machine is used: they never change a result, so a change
of them reruns nothing."""

Device = Literal["auto", "cpu", "cuda"]


class Settings(BaseModel):
    """What sections, and sections of several kinds, can do."""

    @classmethod
    def parse(cls, data: Any, where: str) -> Self:
        """Validate plain data (as JSON or YAML gives it).

        Args:
            data: what the section holds.
            where: its place, for the error: a key path such as `reencode`.

        Raises:
            PipelineError: one line naming the key, the value and what is allowed.
        """
        try:
            return cls.model_validate_json(json.dumps(data))
        except ValidationError as error:
            raise PipelineError("; ".join(plain_lines(error, where))) from None

    def canonical(self) -> str:
        """The section as JSON with sorted keys: equal settings give equal text."""
        return json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))

    def deciding(self) -> Any:
        """The settings that decide the result, plain data: without what only says how the machine is used."""
        return _deciding(self, self.model_dump(mode="json"))

    def decides(self) -> str:
        """Those as JSON with sorted keys."""
        return json.dumps(self.deciding(), sort_keys=True, separators=(",", ":"))

    def digest(self) -> str:
        """First 16 hex digits of a sha256 over the settings that decide the result.

        So a run that ran out of memory can go on with other settings of the machine.
        """
        return hashlib.sha256(json.dumps(self.deciding(), sort_keys=True).encode()).hexdigest()[:16]


class Section(Settings):
    """A section of the configuration.

    Unknown keys, wrong types (the string that YAML makes of `1e-4`, say) and values out of range are errors.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


def device_field() -> Any:
    """The setting `device`."""
    return Field("auto", description="auto takes a GPU if there is one", json_schema_extra=MACHINE)


def cache_field() -> Any:
    """The setting `cache_gb` of stages that read clip features."""
    return Field(
        4.0,
        ge=0,
        description="clip features kept in memory, up to this many GB; the rest is reread",
        json_schema_extra=MACHINE,
    )


def steps_field() -> Any:
    """What every stage that trains has, so that a run can be rehearsed: `steps_per_epoch`."""
    return Field(None, ge=1, description="an epoch ends after this many steps, for a rehearsal; null: all of them")


def _deciding(value: Any, plain: Any) -> Any:
    """Plain data without the settings of the machine, at whatever depth.

    Args:
        value: settings, or what they hold.
        plain: the same as plain data.
    """
    if isinstance(value, RootModel):
        return _deciding(value.root, plain)
    if isinstance(value, BaseModel):
        fields = type(value).model_fields
        kept = (name for name, field in fields.items() if field.json_schema_extra != MACHINE)
        return {name: _deciding(getattr(value, name), plain[name]) for name in kept}
    if isinstance(value, dict):
        return {name: _deciding(inner, plain[name]) for name, inner in value.items()}
    if isinstance(value, list):
        return [_deciding(inner, data) for inner, data in zip(value, plain, strict=True)]
    return plain


def plain_lines(error: ValidationError, where: str) -> list[str]:
    """One plain sentence for each thing that pydantic found wrong."""
    lines = []
    for item in error.errors():
        key = ".".join([where, *(str(part) for part in item["loc"])]).strip(".")
        if item["type"] == "extra_forbidden":
            lines.append(f"config: unknown key {key}")
        elif item["type"] == "missing":
            lines.append(f"config: {key} is missing")
        elif isinstance(item["input"], dict):  # of several keys, which the message names: not all of them are shown
            lines.append(": ".join(filter(None, ["config", key, item["msg"].removeprefix("Value error, ")])))
        else:
            hint = "; YAML reads 1e-4 as text, write 1.0e-4" if item["type"] in ("float_type", "int_type") else ""
            lines.append(f"config: {key} = {item['input']!r}: {item['msg']}{hint}")
    return lines
