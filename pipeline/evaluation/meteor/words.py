"""What METEOR knows of single words: their stems, their synonyms, which of them are function words.

All of it comes out of METEOR's own jar: the word list and WordNet's synonyms are files in it, and its stemmer and its
normalizer are asked, once for every word or sentence, by running them.
"""

import re
import zipfile
from collections.abc import Iterable, Sequence

import numpy as np
from jaxtyping import Bool, Int, UInt64

from pipeline.errors import PipelineError
from pipeline.evaluation.java import jar, run_lines
from pipeline.evaluation.meteor.paraphrases import word_hashes

JAR = "meteor/meteor-1.5.jar"
PLAIN = re.compile(r"(?:[a-z0-9 ]|(?<![^ ])'(?=[a-z])|(?<=n)'(?=t(?: |$)))*")
"""Sentences in which normalization does no more than to split `'s` and `n't`; Java need not be asked about them."""

ENDINGS = tuple(
    rule.split(">")
    for rule in (
        *("s>", "ses>s", "xes>x", "zes>z", "ches>ch", "shes>sh", "men>man", "ies>y"),
        *("s>", "ies>y", "es>e", "es>", "ed>e", "ed>", "ing>e", "ing>"),
        *("er>", "est>", "er>e", "est>e"),
    )
)
"""WordNet's rules for the base form of a noun, a verb, an adjective: in this order, the first that gives a word."""


class Words:
    """A vocabulary that grows; a word's number is its index in all arrays.

    Args:
        timeout_s: Java that needs longer for one list is stopped, seconds.

    Attributes:
        keys: Java's hash code of each word: what METEOR compares in place of the word.
        stems: that of its stem.
        functional: whether it is a function word.
        hashes: see `paraphrases`.
        synonyms: numbers of the synsets that it, or its base form, is in.
    """

    keys: Int[np.ndarray, " words"]
    stems: Int[np.ndarray, " words"]
    functional: Bool[np.ndarray, " words"]
    hashes: UInt64[np.ndarray, " words"]
    synonyms: list[frozenset[int]]

    def __init__(self, timeout_s: float) -> None:
        self.timeout_s = timeout_s
        self._numbers: dict[str, int] = {}
        self._normal: dict[str, str] = {}
        with zipfile.ZipFile(jar(JAR)) as archive:
            self._functional = set(_lines(archive, "function/english.words"))
            synsets = _lines(archive, "synonym/english.synsets")
            forms = _lines(archive, "synonym/english.exceptions")
        self._synsets = dict(zip(synsets[::2], synsets[1::2], strict=True))
        self._bases: dict[str, list[str]] = {}
        for base, irregular in zip(forms[::2], forms[1::2], strict=True):
            for form in irregular.split():
                self._bases.setdefault(form, []).append(base)
        self.keys = self.stems = np.empty(0, np.int64)
        self.functional = np.empty(0, bool)
        self.hashes = np.empty(0, np.uint64)
        self.synonyms = []

    def numbers(self, sentences: Sequence[str]) -> list[list[int]]:
        """The words of each sentence, after METEOR's normalization, as numbers."""
        self._normalize(sentences)
        split = [(self._normal.get(sentence) or _split(sentence)).split() for sentence in sentences]
        self._learn(dict.fromkeys(word for words in split for word in words if word not in self._numbers))
        known = self._numbers
        return [[known[word] for word in words] for words in split]

    def _normalize(self, sentences: Iterable[str]) -> None:
        new = [one for one in dict.fromkeys(sentences) if not PLAIN.fullmatch(one) and one not in self._normal]
        if new:
            lines = run_lines(JAR, ("edu.cmu.meteor.util.Normalizer", "en", "true"), new, self.timeout_s)
            self._normal.update(zip(new, (line.lower() for line in lines), strict=True))

    def _learn(self, words: Iterable[str]) -> None:
        new = list(words)
        if not new:
            return
        stems = run_lines(JAR, ("Stemmer", "en"), new, self.timeout_s)
        self._numbers.update(zip(new, range(len(self._numbers), len(self._numbers) + len(new)), strict=True))
        self.keys = np.concatenate([self.keys, [_hash_code(word) for word in new]])
        self.stems = np.concatenate([self.stems, [_hash_code(stem) for stem in stems]])
        self.functional = np.concatenate([self.functional, [word in self._functional for word in new]])
        self.hashes = np.concatenate([self.hashes, word_hashes("\n".join(new).encode())])
        self.synonyms += [self._meanings(word) for word in new]

    def _meanings(self, word: str) -> frozenset[int]:
        bases = self._bases.get(word) or [self._base(word)]
        return frozenset(int(one) for form in (word, *bases) for one in self._synsets.get(form, "").split())

    def _base(self, word: str) -> str:
        """WordNet's base form of a regular one; the empty word if there is none.

        A word in -ful gets that ending a second time: then nothing is found, as in METEOR.
        """
        if word.endswith("ss") or len(word) <= 2:
            return word
        for ending, instead in ENDINGS:
            if word.endswith(ending):
                base = word.removesuffix(ending) + instead
                if base in self._synsets:
                    return base + ("ful" if word.endswith("ful") else "")
        return ""


def _split(plain: str) -> str:
    """A plain sentence, normalized."""
    return re.sub(r"(?<![^ ])'", "' ", plain).replace("n't", "n 't") if "'" in plain else plain


def _lines(archive: zipfile.ZipFile, name: str) -> list[str]:
    try:
        return archive.read(name).decode("utf-8").split("\n")[:-1]
    except KeyError:
        raise PipelineError(f"{archive.filename}: lacks {name}; is it METEOR 1.5's jar?") from None


def _hash_code(word: str) -> int:
    """Java's `String.hashCode`, of which METEOR says that collisions do not matter; in 32 bits, without sign."""
    code = 0
    for unit in np.frombuffer(word.encode("utf-16-le"), "<u2").tolist():
        code = (31 * code + unit) & 0xFFFFFFFF
    return code
