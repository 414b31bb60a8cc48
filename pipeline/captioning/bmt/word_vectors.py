"""Word vectors from a text file in the format of GloVe (Pennington et al., 2014).

A line holds a word and its numbers, separated by single spaces. A few "words" of GloVe's largest file hold spaces, so
the numbers are counted from the end of the line. Of a word that stands in several lines, the first counts.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from pipeline.errors import PipelineError
from pipeline.io.atomic import sha256


@dataclass(frozen=True)
class WordVectors:
    """Vectors of the words of a vocabulary.

    Attributes:
        values: vector of each word, in the order of the words; zeros for words without one.
        num_words: number of words that have a vector.
        sha256: digest of the file.
    """

    values: Float[Tensor, "words dim"]
    num_words: int
    sha256: str


def read_word_vectors(path: Path, words: Sequence[str], dim: int) -> WordVectors:
    """Read the vectors of some words.

    Args:
        path: the file.
        words: the words, each once.
        dim: numbers of a vector.

    Raises:
        PipelineError: the file is absent, no text in UTF-8, malformed (names the line), of another dimension, or has
            none of the words.
    """
    places = {word: place for place, word in enumerate(words)}
    values = torch.zeros(len(words), dim)
    is_read = [False] * len(words)
    try:
        with path.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, start=1):
                place = places.get(line.partition(" ")[0])
                if number > 1 and (place is None or is_read[place]):
                    continue
                word, vector = _parse_line(line, f"{path}: line {number}", dim)
                if place is not None and word == words[place]:
                    values[place] = vector
                    is_read[place] = True
    except OSError as error:
        raise PipelineError(f"{path}: word vectors cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise PipelineError(f"{path}: no text in UTF-8; expected lines of a word and {dim} numbers") from None
    if not any(is_read):
        raise PipelineError(f"{path}: has none of the {len(words)} words of the vocabulary; are they of its language?")
    logging.info("%s has vectors of %d of %d words", path, sum(is_read), len(words))
    return WordVectors(values, sum(is_read), sha256(path))


def _parse_line(line: str, where: str, dim: int) -> tuple[str, Float[Tensor, " dim"]]:
    """Return word and vector of a line."""
    word, *numbers = line.rstrip().rsplit(" ", dim)
    if len(numbers) < dim:
        raise PipelineError(
            f"{where}: {len(numbers)} numbers after the word, expected {dim}; `embedding` is the size of the vectors"
        )
    try:
        vector = torch.tensor([float(number) for number in numbers])
    except ValueError as error:
        raise PipelineError(f"{where}: expected a word and {dim} numbers ({error})") from None
    if not torch.isfinite(vector).all():
        raise PipelineError(f"{where}: the vector of {word!r} contains NaN or infinity")
    return word, vector
