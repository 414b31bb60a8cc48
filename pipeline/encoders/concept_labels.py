"""Which concepts a clip shows: those of the sentences that cover its centre (SA-TSP, section 1.1)."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.datasets.text import words
from pipeline.errors import PipelineError
from pipeline.io.atomic import read_json


@dataclass(frozen=True)
class Concept:
    """A concept.

    Attributes:
        word: its name.
        forms: the words of sentences that stand for it.
        pos: its part of speech.
    """

    word: str
    forms: tuple[str, ...]
    pos: str


def read_concepts(path: Path) -> list[Concept]:
    """Read what `mine_concepts` wrote, or a list without `forms`; a concept's number is its position.

    A concept without forms is shown where its word itself is said, in that spelling.

    Raises:
        PipelineError: absent, empty or not a list of concepts.
    """
    data = read_json(path, "concept list")
    try:
        concepts = [_concept(entry) for entry in data]
    except (TypeError, KeyError) as error:
        raise PipelineError(f"{path}: not a list of concepts with `word` and `pos` ({error!r})") from None
    if not concepts:
        raise PipelineError(f"{path}: holds no concepts; set beta to 0 to train without them")
    return concepts


def _concept(entry: Mapping[str, Any]) -> Concept:
    word = str(entry["word"])
    return Concept(word, tuple(str(form) for form in entry.get("forms", [word])), str(entry["pos"]))


class ConceptLabels:
    """Concepts of videos over time.

    Args:
        captions: rows of the corpus' table `CAPTIONS`, of all annotators.
        concepts: as `read_concepts` gives them; none makes every clip uncovered.
    """

    def __init__(self, captions: Iterable[Mapping[str, Any]], concepts: list[Concept]) -> None:
        numbers: dict[str, list[int]] = {}
        for number, concept in enumerate(concepts):
            for form in concept.forms:
                numbers.setdefault(form, []).append(number)
        self._events: dict[str, list[tuple[float, float, frozenset[int]]]] = {}
        for row in captions if concepts else ():
            shown = frozenset(number for word in words(row["sentence"]) for number in numbers.get(word, ()))
            self._events.setdefault(row["video"], []).append((row["start"], row["end"], shown))

    def at(self, video: str, seconds: float) -> tuple[int, ...] | None:
        """Numbers of the concepts shown at a moment, in rising order; None where no sentence covers it."""
        covering = [shown for start, end, shown in self._events.get(video, ()) if start <= seconds <= end]
        return tuple(sorted(frozenset().union(*covering))) if covering else None
