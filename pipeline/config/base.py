"""Base classes of the configuration's sections: strict, immutable, with one canonical JSON text."""

import hashlib
import json
from types import UnionType
from typing import Annotated, Any, ClassVar, Literal, Self, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, RootModel, ValidationError
from pydantic.config import JsonDict
from pydantic_core import PydanticUndefined

from pipeline.errors import PipelineError, nearest

MACHINE: JsonDict = {"machine": True}
"""Mark (`json_schema_extra`) of settings that only describe the use of the machine. They never change a result, so a
change of them reruns nothing."""

Device = Literal["auto", "cpu", "cuda"]


class Settings(BaseModel):
    """Base class of all settings, including unions of several kinds of settings.

    Attributes:
        TARGET: of an optional stage, which the demo's scores and report do not need: a result, with `{dataset}`, that
            makes snakemake run it.
    """

    TARGET: ClassVar[str | None] = None

    @classmethod
    def parse(cls, data: Any, where: str) -> Self:
        """Validate plain data, as JSON or YAML gives it.

        Args:
            data: the settings.
            where: their key path, for error messages, for example `reencode`.

        Raises:
            PipelineError: one line with the key, the value and the allowed values.
        """
        try:
            return cls.model_validate_json(json.dumps(data))
        except ValidationError as error:
            raise PipelineError("; ".join(validation_messages(error, where, cls))) from None

    def to_json(self) -> str:
        """Return the settings as JSON with sorted keys: equal settings have equal texts."""
        return json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))

    def result_settings(self) -> Any:
        """Return the settings that affect results as plain data, without the settings of the machine."""
        return _without_machine_settings(self, self.model_dump(mode="json"))

    def result_settings_json(self) -> str:
        """Return the settings that affect results as JSON with sorted keys."""
        return json.dumps(self.result_settings(), sort_keys=True, separators=(",", ":"))

    def digest(self) -> str:
        """Compute a sha256 (the first 16 hex digits) over the settings that affect results.

        Settings of the machine do not count, so a run that ran out of memory can resume with a smaller cache.
        """
        return hashlib.sha256(json.dumps(self.result_settings(), sort_keys=True).encode()).hexdigest()[:16]


class Section(Settings):
    """A section of the configuration.

    Unknown keys, wrong types (for example the string that YAML makes of `1e-4`) and values out of range are errors.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


def device_field() -> Any:
    """Return the field `device`."""
    return Field("auto", description="device to compute on (auto: a GPU if there is one)", json_schema_extra=MACHINE)


def steps_field() -> Any:
    """Return the field `steps_per_epoch`, by which a training can be rehearsed."""
    return Field(None, ge=1, description="end each epoch after this many steps, to rehearse a run (null: all steps)")


def _without_machine_settings(value: Any, plain: Any) -> Any:
    """Return plain data without the settings of the machine, at any depth.

    Args:
        value: settings, or a value in them.
        plain: the same as plain data.
    """
    if isinstance(value, RootModel):
        return _without_machine_settings(value.root, plain)
    if isinstance(value, BaseModel):
        fields = type(value).model_fields
        names = (name for name, field in fields.items() if field.json_schema_extra != MACHINE)
        return {name: _without_machine_settings(getattr(value, name), plain[name]) for name in names}
    if isinstance(value, dict):
        return {name: _without_machine_settings(inner, plain[name]) for name, inner in value.items()}
    if isinstance(value, list):
        return [_without_machine_settings(inner, data) for inner, data in zip(value, plain, strict=True)]
    return plain


def validation_messages(error: ValidationError, where: str, model: type[BaseModel]) -> list[str]:
    """Return one plain sentence for each error of a validation.

    Args:
        error: the errors.
        where: key path of the validated data, empty for the whole configuration.
        model: the model that the data was validated by; its keys are suggested for unknown ones.
    """
    lines = []
    for item in error.errors():
        key = ".".join([where, *(str(part) for part in item["loc"])]).strip(".")
        if item["type"] == "extra_forbidden":
            *parents, name = item["loc"]
            candidates = known_keys(model, tuple(parents)) - {str(name)}  # another kind of the union may have this key
            lines.append(f"config: unknown key {key}{nearest(str(name), candidates)}")
        elif item["type"] == "missing":
            lines.append(f"config: {key} is missing")
        elif isinstance(item["input"], dict):  # an error about several keys; the message names them
            lines.append(": ".join(filter(None, ["config", key, item["msg"].removeprefix("Value error, ")])))
        else:
            hint = "; YAML reads 1e-4 as text, write 1.0e-4" if item["type"] in ("float_type", "int_type") else ""
            lines.append(f"config: {key} = {item['input']!r}: {item['msg'].removeprefix('Value error, ')}{hint}")
    return lines


def known_keys(model: type[BaseModel], location: tuple[str | int, ...]) -> set[str]:
    """Return the keys that a model accepts at a place below it.

    Args:
        model: the model of the whole.
        location: keys, indices and tags of unions, as pydantic lists them in an error.
    """
    candidates = union_members(model)
    for part in location:
        below = [inner for candidate in candidates for inner in _below(candidate, part)]
        # A part that is no key is the tag of a union: it selects one of the alternatives.
        candidates = below or [each for each in candidates if _has_tag(each, part)] or candidates
    return {name for each in candidates if is_model(each) for name in each.model_fields}


def _below(candidate: Any, part: str | int) -> list[Any]:
    """Return the types of what a type holds under a key or index; none if it holds nothing there."""
    if is_model(candidate):
        field = candidate.model_fields.get(str(part))
        return union_members(field.annotation) if field else []
    if get_origin(candidate) is dict:
        return union_members(get_args(candidate)[1])
    if get_origin(candidate) is list and isinstance(part, int):
        return union_members(get_args(candidate)[0])
    return []


def union_members(annotation: Any) -> list[Any]:
    """Return the types that an annotation stands for: members of unions, without Annotated and root models."""
    if get_origin(annotation) is Annotated:
        inner, *metadata = get_args(annotation)
        return union_members(_input_type(inner, metadata))
    if get_origin(annotation) in (Union, UnionType):
        return [inner for member in get_args(annotation) for inner in union_members(member)]
    if is_model(annotation) and issubclass(annotation, RootModel):
        root = annotation.model_fields["root"]
        return union_members(_input_type(root.annotation, root.metadata))
    return [annotation]


def _input_type(annotation: Any, metadata: list[Any]) -> Any:
    """Return the type that a validator accepts, if it declares one: a union whose members a registry lists."""
    declared = [getattr(item, "json_schema_input_type", PydanticUndefined) for item in metadata]
    return next((item for item in declared if item is not PydanticUndefined), annotation)


def _has_tag(candidate: Any, part: str | int) -> bool:
    """Return whether a model is selected by a tag: the name of its class, or the value of one of its fields."""
    if not is_model(candidate):
        return False
    values = [get_args(field.annotation) for field in candidate.model_fields.values()]
    return candidate.__name__ == part or any(part in value for value in values)


def is_model(annotation: Any) -> bool:
    """Return whether an annotation is a pydantic model."""
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)
