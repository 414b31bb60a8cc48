"""Semantic concepts, caption vocabulary and IDF, counted from training sentences."""

import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

from pipeline.datasets.tagger import TaggedWord, Tagger, is_stop, strip_possessive, tag_sentences
from pipeline.datasets.text import split_words
from pipeline.io.progress import Progress


def find_concepts(
    sentences: Sequence[str], *, size: int, parts_of_speech: Sequence[str], tagger: Tagger, lemmatise: bool
) -> list[dict[str, Any]]:
    """Find the most frequent content words (section 1.1: nouns, verbs, adjectives and adverbs).

    A concept with a stop word among its forms is dropped as a whole. If only the form "using" were dropped, a clip
    whose sentence says "using" would be a negative example of "use".

    Args:
        sentences: training sentences.
        size: maximum number of concepts (N).
        parts_of_speech: universal tags that count.
        tagger: the tagger.
        lemmatise: whether all forms of a lemma are one concept, or each form (without possessive ending) is its own.

    Returns:
        Concepts by decreasing count, then alphabetically: word (lemma or form), pos (the most frequent one), count
        (occurrences), idf (log of sentences over sentences with it), forms (no form belongs to two concepts).
    """
    kinds = set(parts_of_speech)
    progress, tagged = Progress("sentences", len(sentences)), []
    for sentence in tag_sentences(sentences, tagger):
        tagged.append([word for word in sentence if word.pos in kinds])
        progress.step()
    lemma_of = _lemma_of_forms(tagged)
    concept_of = {form: lemma if lemmatise else strip_possessive(form) for form, lemma in lemma_of.items()}
    stopped = {concept_of[form] for form, lemma in lemma_of.items() if is_stop(form) or is_stop(lemma)}
    counts: Counter[str] = Counter()
    num_sentences: Counter[str] = Counter()
    pos: dict[str, Counter[str]] = defaultdict(Counter)
    forms: dict[str, set[str]] = defaultdict(set)
    for sentence in tagged:
        occurrences = [(concept_of[word.form], word) for word in sentence if concept_of[word.form] not in stopped]
        num_sentences.update({concept for concept, _ in occurrences})
        for concept, word in occurrences:
            counts[concept] += 1
            pos[concept][word.pos] += 1
            forms[concept].add(word.form)
    return [
        {
            "word": concept,
            "pos": _most_frequent(pos[concept]),
            "count": counts[concept],
            "idf": math.log(len(sentences) / num_sentences[concept]),
            "forms": sorted(forms[concept]),
        }
        for concept in sorted(counts, key=lambda concept: (-counts[concept], concept))[:size]
    ]


def _lemma_of_forms(tagged: list[list[TaggedWord]]) -> dict[str, str]:
    """Return the most frequent lemma of each form, so that a form never belongs to two concepts."""
    lemmas: dict[str, Counter[str]] = defaultdict(Counter)
    for sentence in tagged:
        for word in sentence:
            lemmas[word.form][word.lemma] += 1
    return {form: _most_frequent(counts) for form, counts in lemmas.items()}


def _most_frequent(counts: Counter[str]) -> str:
    """Return the most frequent key; of equally frequent ones, the first in the alphabet."""
    return min(counts, key=lambda name: (-counts[name], name))


def inverse_document_frequency(sentences: Sequence[str]) -> dict[str, float]:
    """Compute log(sentences / sentences with the word) of every word, in alphabetical order."""
    num_sentences = Counter(word for sentence in sentences for word in set(split_words(sentence)))
    return {word: math.log(len(sentences) / num_sentences[word]) for word in sorted(num_sentences)}
