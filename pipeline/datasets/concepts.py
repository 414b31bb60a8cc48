"""Semantic concepts, as `mine_concepts` writes them and models use them."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.errors import PipelineError
from pipeline.io.atomic import read_json


@dataclass(frozen=True)
class Concept:
    """A concept, as models use it.

    Attributes:
        word: name of the concept.
        forms: the words of sentences that express it.
        pos: universal part of speech.
    """

    word: str
    forms: tuple[str, ...]
    pos: str


def read_concepts(path: Path, *, allow_empty: bool = False) -> list[Concept]:
    """Read the concepts that `mine_concepts` wrote, or a list without `forms`; the index of a concept is its position.

    A concept without `forms` is expressed by its word in that spelling.

    Args:
        path: the file.
        allow_empty: whether a list without concepts is accepted.

    Raises:
        PipelineError: the file is absent, empty, or not a list of concepts.
    """
    data = read_json(path, "concepts")
    if not isinstance(data, list):
        raise PipelineError(f"{path}: expected a list of concepts, as mine_concepts writes it")
    if not data and not allow_empty:
        raise PipelineError(f"{path}: holds no concepts; remove `concepts` from `losses` to train without them")
    return [_parse_concept(path, entry) for entry in data]


def _parse_concept(path: Path, entry: Any) -> Concept:
    word, pos = (entry.get("word"), entry.get("pos")) if isinstance(entry, dict) else (None, None)
    forms = entry.get("forms", [word]) if isinstance(word, str) and isinstance(pos, str) else None
    if not isinstance(forms, list) or not all(isinstance(form, str) for form in forms):
        raise PipelineError(
            f"{path}: {entry!r} has no word and forms (a list), or no pos; make the concepts with mine_concepts"
        )
    return Concept(str(word), tuple(forms), str(pos))


def concept_of_forms(concepts: Iterable[Concept], path: Path) -> dict[str, str]:
    """Return the word of the concept that each form expresses.

    Args:
        concepts: as read.
        path: their file, for the error.

    Raises:
        PipelineError: two concepts have a form in common.
    """
    concept_of: dict[str, str] = {}
    for concept in concepts:
        for form in concept.forms:
            if concept_of.setdefault(form, concept.word) != concept.word:
                raise PipelineError(f"{path}: {form!r} is a form of {concept_of[form]!r} and of {concept.word!r}")
    return concept_of
