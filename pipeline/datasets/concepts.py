"""Counting words: the concepts that an encoder learns to see, the words that a captioner may say, and their IDF."""

import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

from pipeline.datasets.tagger import Tagged, Tagger, bare, is_stop, tag
from pipeline.datasets.text import words
from pipeline.errors import PipelineError


def concepts(
    sentences: Sequence[str], *, size: int, parts_of_speech: Sequence[str], tagger: Tagger, lemmatise: bool
) -> list[dict[str, Any]]:
    """The most frequent content words (section 1.1: nouns, verbs, adjectives and adverbs).

    A concept with a stop word among its spellings is left out as a whole: were "using" left out alone, a clip whose
    sentence has it would be told not to show "use".

    Args:
        sentences: training sentences.
        size: how many concepts at most (N).
        parts_of_speech: universal tags that count.
        tagger: who decides the tags.
        lemmatise: whether all spellings of a lemma are one concept, or each is its own (without possessive endings).

    Returns:
        by falling count, then alphabet: word (lemma, or spelling), pos (its most frequent), count (occurrences), idf
        (log of sentences over sentences with it), forms (the spellings that stand for it; no spelling stands for two).
    """
    kinds = set(parts_of_speech)
    tagged = [[word for word in found if word.pos in kinds] for found in tag(sentences, tagger)]
    lemma_of = _one_lemma_each(tagged)
    concept_of = {form: lemma if lemmatise else bare(form) for form, lemma in lemma_of.items()}
    stopped = {concept_of[form] for form, lemma in lemma_of.items() if is_stop(form) or is_stop(lemma)}
    counts: Counter[str] = Counter()
    containing: Counter[str] = Counter()
    pos: dict[str, Counter[str]] = defaultdict(Counter)
    forms: dict[str, set[str]] = defaultdict(set)
    for found in tagged:
        shown = [(concept_of[word.form], word) for word in found if concept_of[word.form] not in stopped]
        containing.update({concept for concept, _ in shown})
        for concept, word in shown:
            counts[concept] += 1
            pos[concept][word.pos] += 1
            forms[concept].add(word.form)
    return [
        {
            "word": concept,
            "pos": _most_frequent(pos[concept]),
            "count": counts[concept],
            "idf": math.log(len(sentences) / containing[concept]),
            "forms": sorted(forms[concept]),
        }
        for concept in sorted(counts, key=lambda concept: (-counts[concept], concept))[:size]
    ]


def _one_lemma_each(tagged: list[list[Tagged]]) -> dict[str, str]:
    """The lemma that each spelling stands for most often, so that a spelling is never two concepts."""
    lemmas: dict[str, Counter[str]] = defaultdict(Counter)
    for found in tagged:
        for word in found:
            lemmas[word.form][word.lemma] += 1
    return {form: _most_frequent(counted) for form, counted in lemmas.items()}


def _most_frequent(counted: Counter[str]) -> str:
    """The most frequent key; of equals, the first in the alphabet."""
    return min(counted, key=lambda name: (-counted[name], name))


def vocabulary(sentences: Sequence[str], min_count: int) -> list[str]:
    """Words that occur at least `min_count` times, by falling count, then alphabet.

    Raises:
        PipelineError: none does.
    """
    counts = Counter(word for sentence in sentences for word in words(sentence))
    kept = sorted((word for word in counts if counts[word] >= min_count), key=lambda word: (-counts[word], word))
    if not kept:
        raise PipelineError(
            f"no word occurs {min_count} times in {len(sentences)} training sentences (config: mine_concepts.min_count)"
        )
    return kept


def inverse_document_frequency(sentences: Sequence[str]) -> dict[str, float]:
    """log(sentences / sentences containing the word) for every word, in alphabetical order."""
    containing = Counter(word for sentence in sentences for word in set(words(sentence)))
    return {word: math.log(len(sentences) / containing[word]) for word in sorted(containing)}
