"""The one pattern for parts that can be exchanged: a registry maps a name to a spec.

Each kind of part has one light module in `pipeline.config` (encoders, extractors, localizers, captioners, annotation
readers, metrics, losses): it holds the settings models and the registry. The code of a part is imported when it is
built, so that reading the configuration imports no network. The unions of the configuration, the tables of the
documents and the parameters of the tests are made from the registries.

To add a part, write one module and add one spec to the registry of its kind: see CONTRIBUTING.md.
"""

import difflib
import importlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any, Generic, TypeVar

from pipeline.config.base import Settings
from pipeline.errors import PipelineError


@dataclass(frozen=True)
class Spec:
    """What the registry knows of one part; each kind of part derives its own spec from this one, with more fields.

    Attributes:
        name: the name in the configuration.
        description: one line for `--help` and the tables of the documents.
        settings: the settings model of the part.
        build: the code, as `pipeline.package.module:function_or_class`; imported by `load`.
    """

    name: str
    description: str
    settings: type[Settings]
    build: str

    def load(self) -> Any:
        """Import the part's code.

        Raises:
            PipelineError: the module or the name does not exist.
        """
        module, _, name = self.build.partition(":")
        try:
            return getattr(importlib.import_module(module), name)
        except (ModuleNotFoundError, AttributeError) as error:
            raise PipelineError(f"registry entry {self.name!r}: build = {self.build!r}: {error}") from error


S = TypeVar("S", bound=Spec)


class Registry(Mapping[str, S], Generic[S]):
    """The specs of one kind of part by name, in the order in which they were registered."""

    def __init__(self, kind: str, specs: Iterable[S]) -> None:
        """Check and index the specs.

        Args:
            kind: what the parts are, for errors: `captioner`.
            specs: the specs.

        Raises:
            PipelineError: a name is taken, or a spec lacks a part.
        """
        self.kind = kind
        self._specs: dict[str, S] = {}
        for spec in specs:
            lacking = [field.name for field in fields(spec) if getattr(spec, field.name) in ("", None)]
            if lacking:
                raise PipelineError(f"{kind} {spec.name!r}: its spec lacks {', '.join(lacking)}")
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


def nearest(name: str, names: Iterable[str]) -> str:
    """The end of an error about an unknown name: the nearest known one, or all of them where none is near."""
    known = sorted(names)
    close = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {close[0]!r}?" if close else f"; known: {', '.join(known)}"
