"""The one pattern for parts that can be exchanged: a registry maps a name to a spec.

Each kind of part has one light module in `pipeline.config` (encoders, extractors, proposers, captioners, annotation
readers, metrics, losses): it holds the settings models and the registry. The code of a part is imported when it is
built, so that reading the configuration imports no network. The unions of the configuration, the tables of the
documents and the parameters of the tests are made from the registries.

To add a part, write one module and add one spec to the registry of its kind: see docs/recipes.md.
"""

import importlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any, ClassVar, Generic, Self, TypeVar

from pipeline.config.base import Section, Settings
from pipeline.errors import PipelineError, nearest

ROOT = Path(__file__).resolve().parents[2]


class NoSettings(Section):
    """Settings of a part that has none."""


@dataclass(frozen=True)
class Spec:
    """What the registry knows of one part; each kind of part derives its own spec from this one, with more fields.

    Attributes:
        name: the name in the configuration.
        description: one line for `--help` and the tables of the documents.
        settings: the settings model of the part.
        build: the code, as `pipeline.package.module:function_or_class`; imported by `load`.
        columns: fields that the tables of the documents show after the name.
    """

    columns: ClassVar[tuple[str, ...]] = ("description",)

    name: str
    description: str
    settings: type[Settings]
    build: str

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """Check the names of the fields before they are set: a registry is read when modules are imported.

        Raises:
            PipelineError: a field is missing, or a keyword is no field.
        """
        required = [field.name for field in fields(cls) if field.default is field.default_factory is MISSING]
        missing = [name for name in required[len(args) :] if name not in kwargs]
        unknown = sorted(kwargs.keys() - {field.name for field in fields(cls)})
        where = f"{cls.__name__} {kwargs.get('name', args[0] if args else '')!r}"
        if unknown:
            raise PipelineError(f"{where}: no field {unknown[0]!r}{nearest(unknown[0], [f.name for f in fields(cls)])}")
        if missing and (args or kwargs):  # a copy is created without values
            raise PipelineError(f"{where}: missing in the spec: {', '.join(missing)}")
        return super().__new__(cls)

    def check_module(self) -> None:
        """Check that the file of the part's code exists, without importing it.

        Raises:
            PipelineError: it does not; names the file.
        """
        if error := _expected_file(self.build.partition(":")[0]):
            raise PipelineError(f"{self.name!r}: build = {self.build!r}{error}")

    def load(self) -> Any:
        """Import the part's code.

        Raises:
            PipelineError: the module or the name does not exist.
        """
        module, _, name = self.build.partition(":")
        try:
            return getattr(importlib.import_module(module), name)
        except (ModuleNotFoundError, AttributeError) as error:
            raise PipelineError(f"{self.name!r}: build = {self.build!r}: {error}{_expected_file(module)}") from error


def _expected_file(module: str) -> str:
    """Return the end of an error about a missing module: the file that it needs, and a file of its name elsewhere."""
    expected = ROOT.joinpath(*module.split(".")).with_suffix(".py")
    if expected.is_file() or expected.with_suffix("").is_dir():
        return ""
    files = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "pipeline").rglob(expected.name))
    move = f"; move {files[0]} there" if files else ""
    return f"; expected the file {expected.relative_to(ROOT).as_posix()}{move}"


S = TypeVar("S", bound=Spec)


class Registry(Mapping[str, S], Generic[S]):
    """The specs of one kind of part by name, in the order in which they were registered."""

    def __init__(self, kind: str, specs: Iterable[S]) -> None:
        """Check and index the specs.

        Args:
            kind: what the parts are, for errors: `captioner`.
            specs: the specs.

        Raises:
            PipelineError: a name is taken, a field is empty, or `build` has another form.
        """
        self.kind = kind
        self._specs: dict[str, S] = {}
        for spec in specs:
            missing = [field.name for field in fields(spec) if getattr(spec, field.name) in ("", None)]
            if missing:
                raise PipelineError(f"{kind} {spec.name!r}: empty in the spec: {', '.join(missing)}")
            if not spec.build.startswith("pipeline.") or spec.build.count(":") != 1:
                raise PipelineError(f"{kind} {spec.name!r}: build = {spec.build!r}; expected pipeline.<module>:<name>")
            if spec.name in self._specs:
                raise PipelineError(
                    f"{kind} {spec.name!r} is registered twice: {self._specs[spec.name].build} and {spec.build};"
                    " rename one"
                )
            self._specs[spec.name] = spec

    def __getitem__(self, name: str) -> S:
        """The spec of a name.

        Raises:
            PipelineError: no such part; names the nearest one.
        """
        if name not in self._specs:
            raise PipelineError(f"no {self.kind} {name!r}{nearest(name, self._specs)}")
        return self._specs[name]

    def __contains__(self, name: object) -> bool:
        return name in self._specs

    def __iter__(self) -> Iterator[str]:
        return iter(self._specs)

    def __len__(self) -> int:
        return len(self._specs)


def validate_kind(entry: Any, kinds: Mapping[str, type[Settings]]) -> Any:
    """Validate plain data as the settings that its key `kind` names.

    Raises:
        ValueError: `kind` is missing or names none of `kinds`.
    """
    if isinstance(entry, Settings):
        return entry
    kind = entry.get("kind") if isinstance(entry, dict) else None
    if not isinstance(kind, str) or kind not in kinds:
        raise ValueError(f"kind = {kind!r}; expected one of {', '.join(kinds)}")
    return kinds[kind].model_validate(entry)
