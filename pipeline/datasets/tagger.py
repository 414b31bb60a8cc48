"""Parts of speech and lemmas, by a spaCy pipeline that the configuration names.

`en_core_web_sm` is spaCy's small statistical model; it must be installed. `lexicon` needs no model: it looks words up
in the lexicon of the lemminflect package, and decides between several parts of speech by the neighbouring words.
"""

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Literal, NamedTuple

import lemminflect
import spacy
from spacy.lang.en.stop_words import STOP_WORDS
from spacy.language import Language
from spacy.tokens import Doc, Token

from pipeline.datasets.text import split_words
from pipeline.errors import PipelineError

Tagger = Literal["en_core_web_sm", "lexicon"]

_PREFERENCE = ("NOUN", "VERB", "ADJ", "ADV")
"""Preference if the neighbours decide nothing: by frequency among the readings of ambiguous words in video captions."""

_DETERMINERS = frozenset(
    [
        *("a", "an", "the", "this", "that", "these", "those", "some", "another", "one"),
        *("his", "her", "its", "their", "my", "your", "our"),
    ]
)
_BEFORE_VERBS = frozenset(
    [
        *("is", "are", "was", "were", "be", "been", "being", "to", "and", "then", "can", "will"),
        *("he", "she", "it", "they", "who"),
    ]
)

CACHED_WORDS = 1 << 16
"""Words whose entries of the lexicon are kept: looking a word up takes longer than the rest of the tagging."""


class TaggedWord(NamedTuple):
    """A word of a sentence with its lemma and universal part of speech."""

    form: str
    lemma: str
    pos: str


def tag_sentences(sentences: Iterable[str], tagger: Tagger) -> Iterator[list[TaggedWord]]:
    """Tag sentences, split into words by `pipeline.datasets.text.split_words`.

    Args:
        sentences: as written.
        tagger: the spaCy pipeline.

    Returns:
        the tagged words of each sentence.

    Raises:
        PipelineError: the model is not installed.
    """
    return tag_words(map(split_words, sentences), tagger)


def tag_words(sentences: Iterable[Sequence[str]], tagger: Tagger) -> Iterator[list[TaggedWord]]:
    """Tag sentences that are split into words already; otherwise as `tag_sentences`.

    Raises:
        PipelineError: the model is not installed.
    """
    language = _load_language(tagger)
    docs = (Doc(language.vocab, words=list(words)) for words in sentences)
    for doc in language.pipe(docs, batch_size=1000):
        yield [TaggedWord(token.text, token.lemma_, token.pos_) for token in doc]


@lru_cache(2)
def _load_language(tagger: Tagger) -> Language:
    if tagger == "lexicon":
        language = spacy.blank("en")
        language.add_pipe("lexicon_tagger")
        return language
    try:
        return spacy.load(tagger, exclude=["parser", "ner"])
    except OSError:
        raise PipelineError(
            f"the spaCy model {tagger} is not installed: `python -m spacy download {tagger}`, "
            "or config: mine_concepts.tagger: lexicon"
        ) from None


@Language.component("lexicon_tagger")
def lexicon_tagger(doc: Doc) -> Doc:
    """Set `pos_` and `lemma_` of every token from lemminflect's lexicon; `X` for words that are not in it."""
    tokens = list(doc)
    kinds = [_lexicon_kinds(token.text) for token in tokens]
    for index, token in enumerate(tokens):
        previous = tokens[index - 1] if index else None
        next_kinds = kinds[index + 1] if index + 1 < len(doc) else frozenset()
        token.pos_ = _choose(token.text, kinds[index], previous, next_kinds)
        token.lemma_ = _lexicon_lemma(token.text, token.pos_)
    return doc


def is_stop(word: str) -> bool:
    """Return whether spaCy's list of stop words has a word, apart from attached marks ("there's", "(the")."""
    return strip_possessive(word).strip("()[]'") in STOP_WORDS


def strip_possessive(word: str) -> str:
    """Return a word without a possessive ending."""
    return word.removesuffix("'s").removesuffix("'")


@lru_cache(CACHED_WORDS)
def _lexicon_kinds(word: str) -> frozenset[str]:
    """Return the content parts of speech that the lexicon lists for a word."""
    return frozenset(lemminflect.getAllLemmas(strip_possessive(word))) & frozenset(_PREFERENCE)


@lru_cache(CACHED_WORDS)
def _lexicon_lemma(word: str, pos: str) -> str:
    """Return the lemma that the lexicon lists for a word, or else the word."""
    lemmas = lemminflect.getLemma(strip_possessive(word), pos) if pos != "X" else ()
    return lemmas[0] if lemmas else word


def _choose(word: str, kinds: frozenset[str], previous: Token | None, next_kinds: frozenset[str]) -> str:
    """Choose one of the possible parts of speech, by the previous word (already tagged) and the kinds of the next."""
    if not kinds:
        return "X"
    previous_word, previous_pos = (previous.text, previous.pos_) if previous is not None else ("", "")
    if "ADV" in kinds and word.endswith("ly"):
        return "ADV"
    if "ADJ" in kinds and "NOUN" in next_kinds:  # "red square", "fast dance"
        return "ADJ"
    if "VERB" in kinds:
        participle = word.endswith("ing") and previous_word not in _DETERMINERS
        third_person = word.endswith("s") and previous_pos == "NOUN"  # "a man runs"
        if previous_word in _BEFORE_VERBS or participle or third_person:
            return "VERB"
    if "NOUN" in kinds and previous_word in _DETERMINERS:
        return "NOUN"
    return next(kind for kind in _PREFERENCE if kind in kinds)
