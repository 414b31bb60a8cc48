"""The vocabulary of captions: words and their ids."""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from pipeline.config.mine_concepts import WordSplit
from pipeline.datasets.text import SPLITTERS, is_single_word
from pipeline.errors import PipelineError
from pipeline.io.atomic import read_json, write_json

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
        word_split: how sentences become words.
    """

    def __init__(self, vocabulary_words: Iterable[str], word_split: WordSplit = "punctuation") -> None:
        self.words = tuple(vocabulary_words)
        self.word_split = word_split
        self.split: Callable[[str], list[str]] = SPLITTERS[word_split]
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
        word_split = data.get("word_split", "punctuation")
        if word_split not in SPLITTERS:
            raise PipelineError(f"{path}: word_split {word_split!r} is none of {', '.join(SPLITTERS)}")
        invalid = sorted({word for word in entries if not is_single_word(word, word_split)})
        if invalid:
            raise PipelineError(f"{path}: {invalid[0]!r} is not a single lower-case word; make it with mine_concepts")
        if len(set(entries)) != len(entries):
            raise PipelineError(f"{path}: holds a word twice; make it with mine_concepts")
        return cls(entries, word_split)

    @property
    def size(self) -> int:
        """Number of ids, with the special ones."""
        return NUM_SPECIAL + len(self.words)

    @property
    def digest(self) -> str:
        """First 16 hex digits of a sha256 over the words in order, and how sentences are split."""
        content = self.words if self.word_split == "punctuation" else [self.word_split, self.words]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]

    def coverage(self, sentences: Iterable[str]) -> float:
        """Return the fraction of the words of sentences that are in the vocabulary; 0 if there are no words."""
        covered = [word in self._ids for sentence in sentences for word in self.split(sentence)]
        return sum(covered) / max(1, len(covered))

    def encode(self, sentence: str, max_words: int) -> list[int]:
        """Return the ids of the first `max_words` words, without EOS; unknown words become UNK."""
        return [self._ids.get(word, UNK) for word in self.split(sentence)[:max_words]]

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


def count_vocabulary(sentences: Sequence[str], min_count: int, word_split: WordSplit = "punctuation") -> list[str]:
    """Return the words that occur at least `min_count` times, by decreasing count, then alphabetically.

    Raises:
        PipelineError: there are none.
    """
    counts = Counter(word for sentence in sentences for word in SPLITTERS[word_split](sentence))
    frequent = sorted((word for word in counts if counts[word] >= min_count), key=lambda word: (-counts[word], word))
    if not frequent:
        raise PipelineError(f"no word occurs {min_count} times in {len(sentences)} training sentences; lower min_count")
    return frequent


def write_vocabulary(path: Path, words: Sequence[str], min_count: int, word_split: WordSplit = "punctuation") -> None:
    """Write vocabulary.json.

    Args:
        path: the file.
        words: in the order of their ids.
        min_count: how often each of them occurs at least.
        word_split: how sentences become words.
    """
    split = {} if word_split == "punctuation" else {"word_split": word_split}
    write_json(path, {"min_count": min_count, **split, "words": list(words)})
