"""METEOR's table of paraphrases: 5.3 million pairs of phrases, made quick to ask.

The table comes with METEOR as 60 MB of compressed text, which its jar reads for six seconds at every start. Here it is
read once: a file in the user's cache folder ($XDG_CACHE_HOME, else ~/.cache; 85 MB, `sa-tsp/`) keeps two hashes of 64
bits for each pair of phrases, and is mapped into memory from then on. Safe to delete.
"""

import gzip
import logging
import os
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
from jaxtyping import Bool, Int, UInt64

from pipeline.errors import PipelineError
from pipeline.evaluation.java import jar
from pipeline.evaluation.ragged import ranges
from pipeline.io.atomic import replacing, sha256

TABLE = "meteor/data/paraphrase-en.gz"
LONGEST = 7
"""Words of the longest phrase in METEOR's table."""
FORMAT = "1"

Hashes = UInt64[np.ndarray, "_"]

_STEP, _MIX, _CHAIN = (np.uint64(odd) for odd in (0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9))
_SLOT = np.uint64(38)
_INVERSE = np.uint64(pow(int(_STEP), -1, 1 << 64))


def word_hashes(text: bytes) -> Hashes:
    """A hash of each word of a text, words being what white space divides; nothing but the word decides it."""
    return _words(text)[0]


def longer(phrase: UInt64[np.ndarray, " n"], word: UInt64[np.ndarray, " n"]) -> UInt64[np.ndarray, " n"]:
    """Hashes of phrases that are one word longer; the hash of no words is 0."""
    mixed = (phrase ^ word) * _CHAIN
    return mixed ^ (mixed >> np.uint64(31))


class Paraphrases:
    """The table.

    Args:
        phrase: hash of each phrase, ascending; those of one phrase in the order of METEOR's file.
        other: hash of what it may be matched with.
    """

    def __init__(self, phrase: Hashes, other: Hashes) -> None:
        self._phrase, self._other = phrase, other
        self._seen = np.zeros(1 << (64 - int(_SLOT)), bool)
        self._seen[phrase >> _SLOT] = True
        self._seen[other >> _SLOT] = True

    @classmethod
    def open(cls) -> "Paraphrases":
        """Map the table into memory; the first time of all, which takes some ten seconds, make its file.

        If it cannot be kept, every run reads METEOR's own anew.

        Raises:
            PipelineError: METEOR is not installed.
        """
        source = jar(TABLE)
        folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sa-tsp"
        file = folder / f"paraphrases-{FORMAT}-{sha256(source)[:16]}.arrow"
        columns = _columns(file)
        if columns is None:
            logging.warning("reading METEOR's table of paraphrases, once, into %s (some ten seconds)", file)
            columns = _read(source)
            try:
                _write(file, *columns)
            except (OSError, PipelineError) as error:
                logging.warning("%s: not kept (%s); set XDG_CACHE_HOME to a folder that can be written", file, error)
        return cls(*columns)

    def knows(self, phrases: UInt64[np.ndarray, " n"]) -> Bool[np.ndarray, " n"]:
        """Which of the phrases may be in the table, on either side; a few that are not are taken for known ones."""
        return self._seen[phrases >> _SLOT]

    def among(self, phrases: Hashes) -> tuple[Int[np.ndarray, " found"], Int[np.ndarray, " found"]]:
        """All paraphrases within a set of phrases.

        Args:
            phrases: sorted, each once.

        Returns:
            Indices of phrase and paraphrase; ordered by phrase, those of one phrase as in METEOR's file.
        """
        begin, end = (np.searchsorted(self._phrase, phrases, side) for side in ("left", "right"))
        index = np.repeat(np.arange(len(phrases)), end - begin)
        other = self._other[ranges(begin, end - begin)]
        where = np.minimum(np.searchsorted(phrases, other), len(phrases) - 1)
        found = np.flatnonzero(phrases[where] == other)
        return index[found], where[found]


def _words(text: bytes) -> tuple[Hashes, Int[np.ndarray, " lines"]]:
    """Hashes of the words of a text, and how many words each of its lines has."""
    letters = np.frombuffer(text + b"\n", np.uint8)
    edges = np.diff((letters <= ord(" ")).astype(np.int8), prepend=1)
    begin, end = np.flatnonzero(edges == -1), np.flatnonzero(edges == 1)
    # A polynomial of the letters: differences of running sums, divided by the power at which each word begins.
    sums = np.concatenate([np.zeros(1, np.uint64), np.cumsum(letters * np.cumprod(np.full(len(letters), _STEP)))])
    hashes = (sums[end] - sums[begin]) * np.cumprod(np.full(len(letters), _INVERSE))[begin] * _MIX
    hashes ^= hashes >> np.uint64(32)
    breaks = np.flatnonzero(letters == ord("\n"))
    return hashes, np.diff(np.searchsorted(begin, breaks), prepend=0)


def _read(source: Path) -> tuple[Hashes, Hashes]:
    """Both columns of METEOR's file: three lines an entry, of which the first, a probability, is not used by METEOR."""
    lines = np.concatenate([_phrases(text) for text in _pieces(source)])
    phrase, other = lines[1::3], lines[2::3]
    order = np.argsort(phrase, kind="stable")
    return phrase[order], other[order]


def _pieces(source: Path) -> Iterator[bytes]:
    """The text in pieces of whole lines, without the last line's end."""
    with gzip.open(source) as file:
        while piece := file.read(1 << 22):
            yield (piece + file.readline()).removesuffix(b"\n")


def _phrases(text: bytes) -> Hashes:
    """A hash of each line."""
    words, counts = _words(text)
    begin = np.cumsum(counts) - counts
    phrases = np.zeros(len(counts), np.uint64)
    for place in range(int(counts.max())):
        more = np.flatnonzero(counts > place)
        phrases[more] = longer(phrases[more], words[begin[more] + place])
    return phrases


def _write(file: Path, phrase: Hashes, other: Hashes) -> None:
    checks = {"crc32": str(_crc32(phrase, other))}
    table = pa.table({"phrase": phrase, "other": other}).replace_schema_metadata(checks)
    with (
        replacing(file) as temporary,
        pa.OSFile(str(temporary), "wb") as sink,
        pa.ipc.new_file(sink, table.schema) as writer,
    ):
        writer.write_table(table)


def _columns(file: Path) -> tuple[Hashes, Hashes] | None:
    """The columns of a file that was written before; none if there is no such file, or it is damaged."""
    try:
        table = pa.ipc.open_file(pa.memory_map(str(file))).read_all()
        columns = table["phrase"].chunk(0).to_numpy(), table["other"].chunk(0).to_numpy()
    except (OSError, pa.ArrowException, KeyError, IndexError):
        return None
    return columns if table.schema.metadata == {b"crc32": str(_crc32(*columns)).encode()} else None


def _crc32(phrase: Hashes, other: Hashes) -> int:
    return zlib.crc32(other.data, zlib.crc32(phrase.data))
