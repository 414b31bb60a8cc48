"""What is known of words: which concept a word is a form of, and how rare it is in training sentences."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from pathlib import Path

from pipeline.datasets.text import words
from pipeline.errors import PipelineError
from pipeline.io.atomic import read_json


@dataclass(frozen=True)
class Worth:
    """What a caption is measured by.

    Attributes:
        concepts: that it names, each once, sorted.
        word: the rarest of its words, of equally rare ones the first in the alphabet; None of a caption without words.
        idf: of that word; 0 where there is none.
    """

    concepts: tuple[str, ...]
    word: str | None
    idf: float

    @property
    def empty(self) -> bool:
        """Whether the caption has no word at all."""
        return self.word is None


@dataclass(frozen=True)
class Lexicon:
    """Words with their concepts and their rarity.

    Attributes:
        concept_of: word -> the concept that it is a form of.
        idf: word -> inverse document frequency over training sentences. A word that is not there has an IDF of 0: a
            caption is not to win by a word that no training sentence holds.
    """

    concept_of: Mapping[str, str]
    idf: Mapping[str, float]

    @classmethod
    def read(cls, concepts: Path, idf: Path) -> "Lexicon":
        """Read what `mine_concepts` wrote.

        Raises:
            PipelineError: malformed.
        """
        return cls(read_concepts(concepts), read_idf(idf))

    def worth(self, sentence: str) -> Worth:
        """What a caption is measured by."""
        found = words(sentence)
        concepts = {self.concept_of[word] for word in found if word in self.concept_of}
        rarest = min(found, key=lambda word: (-self.idf.get(word, 0.0), word), default=None)
        return Worth(tuple(sorted(concepts)), rarest, 0.0 if rarest is None else self.idf.get(rarest, 0.0))


def read_concepts(path: Path) -> dict[str, str]:
    """Word -> the concept that it is a form of; a concept without forms is its word alone.

    Raises:
        PipelineError: malformed, or with a form of two concepts.
    """
    data = read_json(path, "concepts")
    if not isinstance(data, list):
        raise PipelineError(f"{path}: expected a list of concepts, as mine_concepts makes it")
    concept_of: dict[str, str] = {}
    for entry in data:
        word = entry.get("word") if isinstance(entry, dict) else None
        forms = entry.get("forms", [word]) if isinstance(word, str) else None
        if not isinstance(forms, list) or not all(isinstance(form, str) for form in forms):
            raise PipelineError(f"{path}: {entry!r} has no word and forms; make the concepts with mine_concepts")
        for form in forms:
            if concept_of.setdefault(form, entry["word"]) != entry["word"]:
                raise PipelineError(f"{path}: {form!r} is a form of {concept_of[form]!r} and of {entry['word']!r}")
    return concept_of


def read_idf(path: Path) -> dict[str, float]:
    """Word -> inverse document frequency.

    Raises:
        PipelineError: malformed.
    """
    data = read_json(path, "IDF")
    idf = data.get("idf") if isinstance(data, dict) else None
    values = list(idf.values()) if isinstance(idf, dict) else [None]
    if not all(isinstance(value, int | float) and isfinite(value) for value in values):
        raise PipelineError(f'{path}: expected {{"sentences": N, "idf": {{word: number}}}}, as mine_concepts makes it')
    return {word: float(value) for word, value in data["idf"].items()}
