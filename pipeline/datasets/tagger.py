"""Parts of speech and lemmas, by a spaCy pipeline that the configuration names.

`en_core_web_sm` is spaCy's small statistical model, where it is installed. `lexicon` needs no model: it looks words up
in the lexicon that the lemminflect package ships, and decides between several parts of speech by the neighbours.
"""

from collections.abc import Iterable, Iterator
from typing import Literal, NamedTuple

import lemminflect
import spacy
from spacy.lang.en.stop_words import STOP_WORDS
from spacy.language import Language
from spacy.tokens import Doc, Token

from pipeline.datasets.text import words
from pipeline.errors import PipelineError

Tagger = Literal["en_core_web_sm", "lexicon"]

_ORDER = ("NOUN", "VERB", "ADJ", "ADV")
"""Preference where neighbours decide nothing: how often a word of several kinds is each in video captions."""

_DETERMINERS = {"a", "an", "the", "this", "that", "these", "those", "some", "another", "one"} | {
    "his",
    "her",
    "its",
    "their",
    "my",
    "your",
    "our",
}
_BEFORE_VERBS = {"is", "are", "was", "were", "be", "been", "being", "to", "and", "then", "can", "will"} | {
    "he",
    "she",
    "it",
    "they",
    "who",
}


class Tagged(NamedTuple):
    """A word of a sentence."""

    form: str
    lemma: str
    pos: str


def tag(sentences: Iterable[str], tagger: Tagger) -> Iterator[list[Tagged]]:
    """Tag sentences, cut into words by `pipeline.datasets.text.words`.

    Args:
        sentences: as written.
        tagger: which pipeline.

    Yields:
        for each sentence its words with lemma and universal part of speech.

    Raises:
        PipelineError: the model is not installed (says how to get it, and what else to choose).
    """
    language = _language(tagger)
    docs = (Doc(language.vocab, words=words(sentence)) for sentence in sentences)
    for doc in language.pipe(docs, batch_size=1000):
        yield [Tagged(token.text, token.lemma_, token.pos_) for token in doc]


def _language(tagger: Tagger) -> Language:
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
    """Set `pos_` and `lemma_` of every token from lemminflect's lexicon; `X` for words that it does not hold."""
    kinds = [_kinds(token) for token in doc]
    for index, token in enumerate(doc):
        before = doc[index - 1] if index else None
        after = kinds[index + 1] if index + 1 < len(doc) else frozenset()
        token.pos_ = _choose(token.text, kinds[index], before, after)
        lemmas = lemminflect.getLemma(bare(token.text), token.pos_) if token.pos_ != "X" else ()
        token.lemma_ = lemmas[0] if lemmas else token.text
    return doc


def is_stop(word: str) -> bool:
    """Whether spaCy's list of stop words holds a word, but for an attached mark ("there's", "(the")."""
    return bare(word).strip("()[]'") in STOP_WORDS


def bare(word: str) -> str:
    """A word without a possessive ending."""
    return word.removesuffix("'s").removesuffix("'")


def _kinds(token: Token) -> frozenset[str]:
    """Content parts of speech that the lexicon knows a word by."""
    return frozenset(lemminflect.getAllLemmas(bare(token.text))) & frozenset(_ORDER)


def _choose(word: str, kinds: frozenset[str], before: Token | None, after: frozenset[str]) -> str:
    """One part of speech of those possible, by the word before (already decided) and the kinds of the word after."""
    if not kinds:
        return "X"
    said, pos = (before.text, before.pos_) if before is not None else ("", "")
    if "ADV" in kinds and word.endswith("ly"):
        return "ADV"
    if "ADJ" in kinds and "NOUN" in after:  # "red square", "fast dance"
        return "ADJ"
    if "VERB" in kinds:
        participle = word.endswith("ing") and said not in _DETERMINERS
        third_person = word.endswith("s") and pos == "NOUN"  # "a man runs"
        if said in _BEFORE_VERBS or participle or third_person:
            return "VERB"
    if "NOUN" in kinds and said in _DETERMINERS:
        return "NOUN"
    return next(kind for kind in _ORDER if kind in kinds)
