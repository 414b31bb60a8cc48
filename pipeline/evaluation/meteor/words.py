"""METEOR's knowledge of single words: stems, synonyms, function words.

All of it comes from METEOR's own jar: the list of function words and WordNet's synonyms are files in the jar, and its
stemmer and its normalizer are run once for every new word or sentence.
"""

import re
import zipfile
from collections.abc import Iterable, Sequence
from itertools import chain

import numpy as np
from jaxtyping import Bool, Int, UInt64

from pipeline.errors import PipelineError
from pipeline.evaluation.java import find_jar, run_lines
from pipeline.evaluation.meteor.paraphrases import word_hashes
from pipeline.evaluation.ragged import gather_rows, offsets_of
from pipeline.evaluation.tokenized_text import TokenizedText, count_items, id_dictionary

JAR = "meteor/meteor-1.5.jar"
LETTER = r"[a-z\u00e0-\u00f6\u00f8-\u00ff]"
ALPHANUMERIC = r"[a-z0-9\u00e0-\u00f6\u00f8-\u00ff]"
PLAIN_WORD = re.compile(
    rf"{ALPHANUMERIC}*|[a-z0-9]*n't|{LETTER}+'{LETTER}+|'[a-z][a-z0-9]*|-?{ALPHANUMERIC}+(?:-{ALPHANUMERIC}+)*-?"
)
"""Words that normalization only splits, before an apostrophe or at hyphens: Java is not needed for them."""
HYPHEN = re.compile(rf"({ALPHANUMERIC})-({ALPHANUMERIC})")
CONTEXT_FREE_WORD = re.compile(rf"{PLAIN_WORD.pattern}|[^.,`'\u2018\u2019\u201c\u201d\"]*")
"""Words whose normal form does not depend on their neighbours."""

SUFFIX_RULES = tuple(
    rule.split(">")
    for rule in (
        *("s>", "ses>s", "xes>x", "zes>z", "ches>ch", "shes>sh", "men>man", "ies>y"),
        *("s>", "ies>y", "es>e", "es>", "ed>e", "ed>", "ing>e", "ing>"),
        *("er>", "est>", "er>e", "est>e"),
    )
)
"""WordNet's suffix rules for the base form of nouns, verbs and adjectives; the first that gives a word counts."""
SUFFIXES = tuple({suffix for suffix, _ in SUFFIX_RULES})


class WordKnowledge:
    """A growing vocabulary; the id of a word is its index in all arrays.

    Args:
        timeout_s: Java is stopped when it needs longer for one list [s].

    Attributes:
        keys: Java's hash code of each word, which METEOR compares in place of the word.
        stems: Java's hash code of each word's stem.
        is_function_word: whether each word is a function word.
        hashes: hash of each word, see `paraphrases.word_hashes`.
        synsets: synsets of each word and of its base form.
    """

    keys: Int[np.ndarray, " words"]
    stems: Int[np.ndarray, " words"]
    is_function_word: Bool[np.ndarray, " words"]
    hashes: UInt64[np.ndarray, " words"]
    synsets: list[frozenset[int]]

    def __init__(self, timeout_s: float) -> None:
        self.timeout_s = timeout_s
        self._ids: dict[str, int] = {}
        self._ids_of_text: dict[str, list[int]] = {}
        with zipfile.ZipFile(find_jar(JAR)) as archive:
            self._function_words = set(_read_lines(archive, "function/english.words"))
            synsets = _read_lines(archive, "synonym/english.synsets")
            forms = _read_lines(archive, "synonym/english.exceptions")
        self._synsets = dict(zip(synsets[::2], synsets[1::2], strict=True))
        self._bases: dict[str, list[str]] = {}
        for base, irregular in zip(forms[::2], forms[1::2], strict=True):
            for form in irregular.split():
                self._bases.setdefault(form, []).append(base)
        self.keys = self.stems = np.empty(0, np.int64)
        self.is_function_word = np.empty(0, bool)
        self.hashes = np.empty(0, np.uint64)
        self.synsets = []

    def to_ids(self, sentences: Sequence[str]) -> TokenizedText:
        """Return the sentences after METEOR's normalization, with the ids of their words in this vocabulary.

        Each distinct word is normalized once; sentences with a word that depends on its neighbours as a whole.
        """
        split = [sentence.split() for sentence in sentences]
        dependent = {word for word in set().union(*split) if not CONTEXT_FREE_WORD.fullmatch(word)}
        texts = [
            words if dependent.isdisjoint(words) else [sentence]
            for sentence, words in zip(sentences, split, strict=True)
        ]
        distinct = id_dictionary()
        numbers = np.fromiter(map(distinct.__getitem__, chain.from_iterable(texts)), np.int64)
        self._normalize([text for text in distinct if text not in self._ids_of_text])
        ids = [self._ids_of_text[text] for text in distinct]
        owners, entries = gather_rows(offsets_of(count_items(ids)), numbers)
        sentence = np.repeat(np.arange(len(texts)), count_items(texts))[owners]
        words = np.fromiter(chain.from_iterable(ids), np.int64)[entries]
        return TokenizedText(words, offsets_of(np.bincount(sentence, minlength=len(texts))))

    def _normalize(self, texts: Sequence[str]) -> None:
        """Find the ids of the normal form of new texts."""
        special = [text for text in texts if not PLAIN_WORD.fullmatch(text)]
        normal = {text: _split_word(text) for text in texts}
        if special:
            lines = run_lines(JAR, ("edu.cmu.meteor.util.Normalizer", "en", "true"), special, self.timeout_s)
            normal |= zip(special, (line.lower() for line in lines), strict=True)
        split = {text: line.split() for text, line in normal.items()}
        self._add_words(dict.fromkeys(word for words in split.values() for word in words if word not in self._ids))
        self._ids_of_text |= {text: [self._ids[word] for word in words] for text, words in split.items()}

    def _add_words(self, words: Iterable[str]) -> None:
        new = list(words)
        if not new:
            return
        stems = run_lines(JAR, ("Stemmer", "en"), new, self.timeout_s)
        self._ids.update(zip(new, range(len(self._ids), len(self._ids) + len(new)), strict=True))
        self.keys = np.concatenate([self.keys, _hash_codes(new)])
        self.stems = np.concatenate([self.stems, _hash_codes(stems)])
        self.is_function_word = np.concatenate([self.is_function_word, [word in self._function_words for word in new]])
        self.hashes = np.concatenate([self.hashes, word_hashes("\n".join(new).encode())])
        self.synsets += [self._synsets_of(word) for word in new]

    def _synsets_of(self, word: str) -> frozenset[int]:
        bases = self._bases.get(word) or [self._base_form(word)]
        return frozenset(int(synset) for form in (word, *bases) for synset in self._synsets.get(form, "").split())

    def _base_form(self, word: str) -> str:
        """Return WordNet's base form of a regular form; the empty word if there is none.

        A word in -ful gets that ending a second time, so it has no synsets, as in METEOR.
        """
        if word.endswith("ss") or len(word) <= 2:
            return word
        for suffix, replacement in SUFFIX_RULES if word.endswith(SUFFIXES) else ():
            if word.endswith(suffix):
                base = word.removesuffix(suffix) + replacement
                if base in self._synsets:
                    return base + ("ful" if word.endswith("ful") else "")
        return ""


def is_cut_by_words(text: str) -> bool:
    """Return whether the normal form of a text follows from those of its words."""
    return all(CONTEXT_FREE_WORD.fullmatch(word) for word in text.split())


def _split_word(word: str) -> str:
    """Normalize a plain word. As in METEOR, a single letter between hyphens keeps the second one."""
    if word.startswith("'"):
        return f"' {word[1:]}"
    return HYPHEN.sub(r"\1 \2", word) if "-" in word else word.replace("'", " '")


def _read_lines(archive: zipfile.ZipFile, name: str) -> list[str]:
    try:
        return archive.read(name).decode("utf-8").split("\n")[:-1]
    except KeyError:
        raise PipelineError(f"{archive.filename}: lacks {name}; expected the jar of METEOR 1.5") from None


def _hash_codes(words: Sequence[str]) -> Int[np.ndarray, " words"]:
    """Compute Java's `String.hashCode` of words, unsigned; METEOR accepts its collisions, and so does this."""
    codes = np.zeros(len(words), np.int64)
    for index, word in enumerate(words):
        code = 0
        for unit in np.frombuffer(word.encode("utf-16-le"), "<u2").tolist():
            code = (31 * code + unit) & 0xFFFFFFFF
        codes[index] = code
    return codes
