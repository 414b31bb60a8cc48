"""The vocabulary of captions: words and their ids."""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

from pipeline.datasets.text import split_words
from pipeline.errors import PipelineError
from pipeline.io.atomic import read_json

EOS = 0
"""Id that ends a caption."""
BOS = EOS
"""Id that a captioner reads before the first word. The reference implementation uses the same id for all three."""
PAD = EOS
"""Id that fills a row after the end of its caption."""
UNK = 1
"""Id of a word outside the vocabulary: it occurs in training sentences and is never generated."""
NUM_SPECIAL = 2
"""Number of special ids; the id of the first word."""


class Vocabulary:
    """Words and their ids.

    Args:
        vocabulary_words: the words in the order of their ids, each once.
    """

    def __init__(self, vocabulary_words: Iterable[str]) -> None:
        self.words = tuple(vocabulary_words)
        self._ids = {word: index for index, word in enumerate(self.words, start=NUM_SPECIAL)}
        if len(self._ids) != len(self.words):
            raise ValueError("a vocabulary holds each word once")

    @classmethod
    def read(cls, path: Path) -> "Vocabulary":
        """Read vocabulary.json.

        Raises:
            PipelineError: the file is absent, malformed or empty, has a word twice, or an entry that is not one word.
        """
        data = read_json(path, "vocabulary")
        entries = data.get("words") if isinstance(data, dict) else None
        if not isinstance(entries, list) or not all(isinstance(word, str) for word in entries):
            raise PipelineError(f'{path}: not a vocabulary; expected {{"min_count": N, "words": [...]}}')
        if not entries:
            raise PipelineError(f"{path}: holds no words; lower mine_concepts.min_count")
        invalid = sorted({word for word in entries if split_words(word) != [word]})
        if invalid:
            raise PipelineError(f"{path}: {invalid[0]!r} is not a single lower-case word; make it with mine_concepts")
        if len(set(entries)) != len(entries):
            raise PipelineError(f"{path}: holds a word twice; make it with mine_concepts")
        return cls(entries)

    @property
    def size(self) -> int:
        """Number of ids, with the special ones."""
        return NUM_SPECIAL + len(self.words)

    @property
    def digest(self) -> str:
        """First 16 hex digits of a sha256 over the words in order: equal ids give equal digests."""
        return hashlib.sha256(json.dumps(self.words).encode()).hexdigest()[:16]

    def coverage(self, sentences: Iterable[str]) -> float:
        """Return the fraction of the words of sentences that are in the vocabulary; 0 if there are no words."""
        covered = [word in self._ids for sentence in sentences for word in split_words(sentence)]
        return sum(covered) / max(1, len(covered))

    def encode(self, sentence: str, max_words: int) -> list[int]:
        """Return the ids of the first `max_words` words, without EOS; unknown words become UNK."""
        return [self._ids.get(word, UNK) for word in split_words(sentence)[:max_words]]

    def decode(self, ids: Iterable[int]) -> str:
        """Return the words before the first EOS, separated by spaces.

        Raises:
            ValueError: UNK is among the ids; captioners never generate it.
        """
        decoded = []
        for word_id in ids:
            if word_id == EOS:
                break
            if word_id == UNK:
                raise ValueError("UNK is not a word")
            decoded.append(self.words[word_id - NUM_SPECIAL])
        return " ".join(decoded)
