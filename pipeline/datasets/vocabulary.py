"""The words that captions are made of, and their numbers."""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

from pipeline.datasets.text import words
from pipeline.errors import PipelineError
from pipeline.io.atomic import read_json

END = 0
"""Ends a caption, stands before its first word, and fills the rest of a padded row."""
UNK = 1
"""A word outside the vocabulary: read in training sentences, never generated."""
FIRST = 2
"""Number of the first word."""


class Vocabulary:
    """Words and their ids.

    Args:
        known: the words in the order of their ids, none twice.
    """

    def __init__(self, known: Iterable[str]) -> None:
        self.words = tuple(known)
        self._ids = {word: number for number, word in enumerate(self.words, start=FIRST)}
        if len(self._ids) != len(self.words):
            raise ValueError("a vocabulary holds each word once")

    @classmethod
    def read(cls, path: Path) -> "Vocabulary":
        """Read vocabulary.json.

        Raises:
            PipelineError: absent, malformed, empty, or a word that stands twice or is no single word.
        """
        data = read_json(path, "vocabulary")
        known = data.get("words") if isinstance(data, dict) else None
        if not isinstance(known, list) or not all(isinstance(word, str) for word in known):
            raise PipelineError(f'{path}: not a vocabulary (expected {{"min_count": N, "words": [...]}})')
        if not known:
            raise PipelineError(f"{path}: holds no words; lower mine_concepts.min_count")
        wrong = sorted({word for word in known if words(word) != [word]})
        if wrong or len(set(known)) != len(known):
            what = f"{wrong[0]!r} is no single lower-case word" if wrong else "a word stands twice"
            raise PipelineError(f"{path}: {what}; make it with mine_concepts")
        return cls(known)

    @property
    def size(self) -> int:
        """How many ids there are, END and UNK among them."""
        return FIRST + len(self.words)

    @property
    def digest(self) -> str:
        """First 16 hex digits of a sha256 over the words in order: equal ids give equal digests."""
        return hashlib.sha256(json.dumps(self.words).encode()).hexdigest()[:16]

    def share_known(self, sentences: Iterable[str]) -> float:
        """Share of the words of sentences that it holds, 0 where there are none."""
        known = [word in self._ids for sentence in sentences for word in words(sentence)]
        return sum(known) / max(1, len(known))

    def encode(self, sentence: str, max_words: int) -> list[int]:
        """Ids of the first `max_words` words, without the end; words that are not known become UNK."""
        return [self._ids.get(word, UNK) for word in words(sentence)[:max_words]]

    def decode(self, ids: Iterable[int]) -> str:
        """The words before the first END, separated by spaces.

        Raises:
            ValueError: UNK is among them: no caption holds it.
        """
        said = []
        for number in ids:
            if number == END:
                break
            if number == UNK:
                raise ValueError("UNK stands for no word")
            said.append(self.words[number - FIRST])
        return " ".join(said)
