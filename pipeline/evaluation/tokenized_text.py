"""Sentences as arrays of word ids."""

from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
from jaxtyping import Int

from pipeline.evaluation.ragged import Indices, offsets_of


@dataclass(frozen=True)
class TokenizedText:
    """Sentences as word ids, concatenated.

    Attributes:
        words: word ids of all sentences.
        offsets: start of each sentence, and the end of the last one.
    """

    words: Int[np.ndarray, " words"]
    offsets: Int[np.ndarray, " offsets"]

    @classmethod
    def number_words(cls, sentences: Sequence[Sequence[str]]) -> "TokenizedText":
        """Number the words of sentences, each a list of words, in the order in which they occur."""
        ids = number_keys(chain.from_iterable(sentences))
        return cls(ids, offsets_of(count_items(sentences)))

    @property
    def lengths(self) -> Int[np.ndarray, " sentences"]:
        """Number of words of each sentence."""
        return np.diff(self.offsets)

    def sentence(self, index: int) -> list[int]:
        """Return the word ids of a sentence."""
        words: list[int] = self.words[self.offsets[index] : self.offsets[index + 1]].tolist()
        return words


def count_items(lists: Sequence[Sequence[Any]]) -> Indices:
    """Return the length of each list."""
    return np.fromiter(map(len, lists), np.int64, len(lists))


def id_dictionary() -> defaultdict[Any, int]:
    """Return a dictionary that gives each new key the next integer."""
    ids: defaultdict[Any, int] = defaultdict()
    ids.default_factory = ids.__len__
    return ids


def number_keys(keys: Iterable[Hashable]) -> Indices:
    """Return a number for each key; equal keys have equal numbers, and each new key has the next one."""
    return np.fromiter(map(id_dictionary().__getitem__, keys), np.int64)
