"""What every section of the configuration has in common: strict, frozen, canonical."""

import hashlib
import json
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pipeline.config.errors import PipelineError

MACHINE = frozenset({"cache_gb", "device", "processes", "reward_workers", "save_every", "timeout_s", "workers"})
"""Names of settings that never change a result, in whatever section."""


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

    def digest(self) -> str:
        """First 16 hex digits of a sha256 over the settings that decide the result.

        What only says how the machine is used (`MACHINE`) is left out, so that a run that ran out of memory can go on
        with other such settings.
        """
        deciding = {name: value for name, value in self.model_dump(mode="json").items() if name not in MACHINE}
        return hashlib.sha256(json.dumps(deciding, sort_keys=True).encode()).hexdigest()[:16]


class Section(Settings):
    """A section of the configuration.

    Unknown keys, wrong types (the string that YAML makes of `1e-4`, say) and values out of range are errors.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


def steps_field() -> Any:
    """What every stage that trains has, so that a run can be rehearsed: `steps_per_epoch`."""
    return Field(None, ge=1, description="an epoch ends after this many steps, for a rehearsal; null: all of them")


def plain_lines(error: ValidationError, where: str) -> list[str]:
    """One plain sentence for each thing that pydantic found wrong."""
    lines = []
    for item in error.errors():
        key = ".".join([where, *(str(part) for part in item["loc"])]).strip(".")
        if item["type"] == "extra_forbidden":
            lines.append(f"config: unknown key {key}")
        elif item["type"] == "missing":
            lines.append(f"config: {key} is missing")
        else:
            hint = "; YAML reads 1e-4 as text, write 1.0e-4" if item["type"] in ("float_type", "int_type") else ""
            lines.append(f"config: {key} = {item['input']!r}: {item['msg']}{hint}")
    return lines
