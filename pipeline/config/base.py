"""What every section of the configuration has in common: strict, frozen, canonical."""

import hashlib
import json
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from pipeline.config.errors import PipelineError


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
        """First 16 hex digits of the sha256 of the canonical text."""
        return hashlib.sha256(self.canonical().encode()).hexdigest()[:16]


class Section(Settings):
    """A section of the configuration.

    Unknown keys, wrong types (the string that YAML makes of `1e-4`, say) and values out of range are errors.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


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
            lines.append(f"config: {key} = {item['input']!r}: {item['msg']}")
    return lines
