"""METEOR's table of paraphrases: 5.3 million pairs of phrases, with fast look-up.

METEOR has the table as 60 MB of compressed text, which its jar reads for six seconds at every start. Here it is read
once: a file in the user's cache folder (`sa-tsp/` in $XDG_CACHE_HOME, else in ~/.cache; 90 MB) holds two 64-bit hashes
for each pair of phrases, and bits that tell which hashes may be there. It is memory-mapped from then on. The file may
be deleted.
"""

import gzip
import logging
import os
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
from jaxtyping import Bool, Int, UInt8, UInt64

from pipeline.errors import PipelineError
from pipeline.evaluation.java import find_jar, hash_jar
from pipeline.evaluation.ragged import concat_ranges
from pipeline.io.atomic import replace_atomically

TABLE = "meteor/data/paraphrase-en.gz"
MAX_PHRASE_LENGTH = 7
"""Number of words of the longest phrase in METEOR's table."""
FORMAT = "2"

Hashes = UInt64[np.ndarray, "_"]
Columns = tuple[Hashes, Hashes, UInt8[np.ndarray, "_"]]
"""Phrase and paraphrase of each entry, and eight bits for each entry: whether a hash with that slot is used."""

_BASE, _MIX, _CHAIN = (np.uint64(odd) for odd in (0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9))
_INVERSE_BASE = np.uint64(pow(int(_BASE), -1, 1 << 64))


def word_hashes(text: bytes) -> Hashes:
    """Hash each word of a text; words are separated by white space, and equal words have equal hashes."""
    return _hash_words(text)[0]


def extend_hashes(phrase: UInt64[np.ndarray, " n"], word: UInt64[np.ndarray, " n"]) -> UInt64[np.ndarray, " n"]:
    """Return the hashes of phrases extended by one word; the hash of no words is 0."""
    mixed = (phrase ^ word) * _CHAIN
    return mixed ^ (mixed >> np.uint64(31))


class ParaphraseTable:
    """The table of paraphrases.

    Args:
        phrase: hash of each entry's phrase, ascending; entries of one phrase in the order of METEOR's file.
        paraphrase: hash of each entry's paraphrase.
        used: bits of the slots of all hashes.
    """

    def __init__(self, phrase: Hashes, paraphrase: Hashes, used: UInt8[np.ndarray, "_"]) -> None:
        self._phrase, self._paraphrase, self._used = phrase, paraphrase, used

    @classmethod
    def open(cls) -> "ParaphraseTable":
        """Memory-map the table. The first call on a machine writes the file, in about ten seconds.

        If the file cannot be written, every run reads METEOR's own table.

        Raises:
            PipelineError: METEOR is not installed.
        """
        source = find_jar(TABLE)
        folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sa-tsp"
        file = folder / f"paraphrases-{FORMAT}-{hash_jar(source)[:16]}.arrow"
        columns = _read_cache(file)
        if columns is None:
            logging.warning("reading METEOR's table of paraphrases, once, into %s (some ten seconds)", file)
            columns = _read_source(source)
            try:
                _write_cache(file, *columns)
            except (OSError, PipelineError) as error:
                logging.warning("%s: not kept (%s); set XDG_CACHE_HOME to a folder that can be written", file, error)
        return cls(*columns)

    def may_contain(self, phrases: UInt64[np.ndarray, " n"]) -> Bool[np.ndarray, " n"]:
        """Mark the phrases that may be in the table, on either side; a few marked ones are not (hash collisions)."""
        slots = _slots(phrases, 8 * len(self._used))
        return (self._used[slots >> 3] >> (slots & 7).astype(np.uint8)) & 1 != 0

    def find_within(self, phrases: Hashes) -> tuple[Int[np.ndarray, " found"], Int[np.ndarray, " found"]]:
        """Find the entries whose phrase and paraphrase are both in a set of phrases.

        Args:
            phrases: hashes, sorted, without duplicates.

        Returns:
            Indices of phrase and paraphrase; ordered by phrase, then as in METEOR's file.
        """
        begin = np.searchsorted(self._phrase, phrases)
        is_entry = self._phrase[np.minimum(begin, len(self._phrase) - 1)] == phrases
        end = begin.copy()
        end[is_entry] = np.searchsorted(self._phrase, phrases[is_entry], "right")
        index = np.repeat(np.arange(len(phrases)), end - begin)
        paraphrase = self._paraphrase[concat_ranges(begin, end - begin)]
        position = np.minimum(np.searchsorted(phrases, paraphrase), len(phrases) - 1)
        hits = np.flatnonzero(phrases[position] == paraphrase)
        return index[hits], position[hits]


def _hash_words(text: bytes) -> tuple[Hashes, Int[np.ndarray, " lines"]]:
    """Hash the words of a text, and count the words of each line."""
    letters = np.frombuffer(text + b"\n", np.uint8)
    edges = np.diff((letters <= ord(" ")).astype(np.int8), prepend=1)
    begin, end = np.flatnonzero(edges == -1), np.flatnonzero(edges == 1)
    # A polynomial hash of the letters: differences of running sums, divided by the power at which each word begins.
    sums = np.concatenate([np.zeros(1, np.uint64), np.cumsum(letters * np.cumprod(np.full(len(letters), _BASE)))])
    hashes = (sums[end] - sums[begin]) * np.cumprod(np.full(len(letters), _INVERSE_BASE))[begin] * _MIX
    hashes ^= hashes >> np.uint64(32)
    breaks = np.flatnonzero(letters == ord("\n"))
    return hashes, np.diff(np.searchsorted(begin, breaks), prepend=0)


def _slots(hashes: UInt64[np.ndarray, " n"], count: int) -> Int[np.ndarray, " n"]:
    """Return the slot of each hash, from 0 to `count` - 1."""
    return (((hashes >> np.uint64(32)) * np.uint64(count)) >> np.uint64(32)).astype(np.int64)


def _read_source(source: Path) -> Columns:
    """Read METEOR's file: each entry has three lines, a probability (which METEOR ignores), phrase and paraphrase."""
    lines = np.concatenate([_hash_lines(text) for text in _iter_blocks(source)])
    phrase, paraphrase = lines[1::3], lines[2::3]
    order = np.argsort(phrase, kind="stable")
    is_used = np.zeros(8 * len(phrase), bool)
    is_used[_slots(lines, len(is_used))] = True
    return phrase[order], paraphrase[order], np.packbits(is_used, bitorder="little")


def _iter_blocks(source: Path) -> Iterator[bytes]:
    """Yield the text in blocks of whole lines, without the line feed at the end."""
    with gzip.open(source) as file:
        while block := file.read(1 << 22):
            yield (block + file.readline()).removesuffix(b"\n")


def _hash_lines(text: bytes) -> Hashes:
    """Hash each line as a phrase."""
    words, counts = _hash_words(text)
    begin = np.cumsum(counts) - counts
    phrases = np.zeros(len(counts), np.uint64)
    for position in range(int(counts.max())):
        longer = np.flatnonzero(counts > position)
        phrases[longer] = extend_hashes(phrases[longer], words[begin[longer] + position])
    return phrases


def _write_cache(file: Path, phrase: Hashes, paraphrase: Hashes, used: UInt8[np.ndarray, "_"]) -> None:
    checks = {"crc32": str(_crc32(phrase, paraphrase, used))}
    table = pa.table({"phrase": phrase, "other": paraphrase, "used": used}).replace_schema_metadata(checks)
    with (
        replace_atomically(file) as temporary,
        pa.OSFile(str(temporary), "wb") as sink,
        pa.ipc.new_file(sink, table.schema) as writer,
    ):
        writer.write_table(table)


def _read_cache(file: Path) -> Columns | None:
    """Read the columns of the cache file; None if there is no such file, or it is damaged."""
    try:
        table = pa.ipc.open_file(pa.memory_map(str(file))).read_all()
        # Not `to_numpy`, which imports pandas, in half a second.
        phrase, paraphrase, used = (
            np.frombuffer(table[name].chunk(0).buffers()[1], dtype, len(table))
            for name, dtype in (("phrase", np.uint64), ("other", np.uint64), ("used", np.uint8))
        )
    except (OSError, pa.ArrowException, KeyError, IndexError, ValueError):
        return None
    is_whole = table.schema.metadata == {b"crc32": str(_crc32(phrase, paraphrase, used)).encode()}
    return (phrase, paraphrase, used) if is_whole else None


def _crc32(phrase: Hashes, paraphrase: Hashes, used: UInt8[np.ndarray, "_"]) -> int:
    return zlib.crc32(used.data, zlib.crc32(paraphrase.data, zlib.crc32(phrase.data)))
