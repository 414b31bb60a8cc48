"""ROUGE-L as the official evaluator computes it (pycocoevalcap 1.2).

Lin, "ROUGE: A Package for Automatic Evaluation of Summaries", ACL workshop 2004.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float, Int

from pipeline.evaluation.ngrams import Sample, intern

BETA = 1.2
"""How many times as much recall matters as precision."""


def rouge_l(documents: Sequence[Sequence[Sample]]) -> Float[np.ndarray, " documents"]:
    """ROUGE-L of each document: the mean over its captions, in [0, 1]; 0 for an empty one.

    Of several references, the best precision and the best recall count, each on its own. Words are what single
    spaces part: an empty sentence is one empty word, so two of them score 1, and one scores 0 with any other.

    Raises:
        PipelineError: a caption without any reference.
    """
    corpora = intern(documents)
    words = [sentence.split(" ") for sentence in corpora.sentences]
    lengths = np.array([len(sentence) for sentence in words], np.int64)
    samples, references = corpora.pairs()
    captions = corpora.captions[samples]
    common = _common(words, captions, references)
    precision, recall = np.zeros((2, len(corpora.captions)))
    np.maximum.at(precision, samples, common / lengths[captions])
    np.maximum.at(recall, samples, common / lengths[references])
    below = recall + BETA**2 * precision
    scores = np.divide((1 + BETA**2) * precision * recall, below, out=np.zeros_like(below), where=below > 0)
    return corpora.mean(scores[corpora.samples])


def _common(
    words: Sequence[Sequence[str]], captions: Int[np.ndarray, " pairs"], references: Int[np.ndarray, " pairs"]
) -> Int[np.ndarray, " pairs"]:
    """Length of the longest common subsequence of each caption and reference; captions come in runs."""
    lengths, current, places = [], -1, dict[str, int]()
    for caption, reference in zip(captions.tolist(), references.tolist(), strict=True):
        if caption != current:
            current, places = caption, _places(words[caption])
        lengths.append(_subsequence(places, len(words[caption]), words[reference]))
    return np.array(lengths, np.int64)


def _places(words: Sequence[str]) -> dict[str, int]:
    """Of each word, a number whose bit i is set if the word stands at i."""
    places = dict.fromkeys(words, 0)
    for bit, word in enumerate(words):
        places[word] |= 1 << bit
    return places


def _subsequence(places: Mapping[str, int], length: int, words: Sequence[str]) -> int:
    """Length of the longest common subsequence of a sentence, given by `_places` and its length, and another.

    A row of the usual table grows by 0 or 1 from cell to cell, so it fits in the bits of one number (0 where it
    grows), and the next row follows from it by an addition: Hyyro, "Bit-parallel LCS-length computation
    revisited", 2004.
    """
    row = full = (1 << length) - 1
    for place in filter(None, map(places.get, words)):
        hit = row & place
        row = (row + hit) | (row - hit)
    return length - (row & full).bit_count()
