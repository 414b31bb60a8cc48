"""BLEU, ROUGE-L and CIDEr: pycocoevalcap's numbers, and the properties of the definitions."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycocoevalcap.bleu.bleu import Bleu
from pycocoevalcap.cider.cider import Cider
from pycocoevalcap.rouge.rouge import Rouge

from pipeline.errors import PipelineError
from pipeline.evaluation import ngrams
from pipeline.evaluation.bleu import bleu
from pipeline.evaluation.cider import cider, cider_per_caption
from pipeline.evaluation.ngrams import Sample
from pipeline.evaluation.rouge import rouge_l

METRICS = [bleu, rouge_l, cider]

# The tokenizer leaves a no-break space in `1 1/2`: white space to BLEU and CIDEr, part of a word to ROUGE-L.
words = st.sampled_from(["a", "man", "runs", "home", "dog", "the", "1\u00a01/2"])
sentences = st.lists(words, max_size=9).map(" ".join)
pairs = st.tuples(sentences, sentences)
samples = st.tuples(sentences, st.one_of(sentences, st.lists(sentences, min_size=1, max_size=3).map(tuple)))
corpora = st.lists(st.lists(st.one_of(pairs, samples), min_size=1, max_size=5), min_size=1, max_size=4)


def as_list(references: str | tuple[str, ...]) -> list[str]:
    return [references] if isinstance(references, str) else list(references)


def score_by_pycocoevalcap(scorer: Any, document: list[Sample], **options: Any) -> Any:
    """Compute the score of pycocoevalcap."""
    captions = {number: [caption] for number, (caption, _) in enumerate(document)}
    references = {number: as_list(references) for number, (_, references) in enumerate(document)}
    return scorer.compute_score(references, captions, **options)[0]


def assert_equal(got: Any, expected: Any) -> None:
    np.testing.assert_allclose(got, expected, rtol=1e-12, atol=1e-300)


@pytest.fixture(scope="module")
def golden(shared: Path) -> list[dict[str, Any]]:
    lines = (shared / "golden/metrics/pairs_golden.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(lines) == 8069
    return [json.loads(line) for line in lines]


def test_bleu_and_rouge_equal_the_golden_pairs(golden: list[dict[str, Any]]) -> None:
    documents = [[(row["hyp"], row["ref"])] for row in golden]
    np.testing.assert_allclose(bleu(documents), [row["bleu"] for row in golden], rtol=1e-9, atol=0)
    np.testing.assert_allclose(rouge_l(documents), [row["rouge_l"] for row in golden], rtol=0, atol=1e-9)
    assert not cider(documents).any()


def test_cider_equals_the_golden_corpus(golden: list[dict[str, Any]]) -> None:
    document = [(row["hyp"], row["ref"]) for row in golden]
    expected = np.mean([row["cider_corpusdf"] for row in golden])
    np.testing.assert_allclose(cider([document]), expected, rtol=0, atol=1e-9)


# Each document is scored alone by pycocoevalcap: so none depends on the others, nor on the size of the tables.


def assert_equal_with_tables_of_any_size(metric: Any, documents: list[list[Sample]], expected: list[Any]) -> None:
    assert_equal(metric(documents), expected)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ngrams, "MAX_CELLS", 1)
        assert_equal(metric(documents), expected)


@given(corpora)
def test_bleu_equals_pycocoevalcap(documents: list[list[Sample]]) -> None:
    expected = [score_by_pycocoevalcap(Bleu(4), document, verbose=0) for document in documents]
    assert_equal_with_tables_of_any_size(bleu, documents, expected)


@given(corpora)
def test_rouge_l_equals_pycocoevalcap(documents: list[list[Sample]]) -> None:
    expected = [score_by_pycocoevalcap(Rouge(), document) for document in documents]
    assert_equal_with_tables_of_any_size(rouge_l, documents, expected)


@given(corpora)
def test_cider_equals_pycocoevalcap(documents: list[list[Sample]]) -> None:
    def one(document: list[Sample]) -> float:
        has_words = any(any(as_list(references)) for _, references in document)  # else pycocoevalcap fails
        return score_by_pycocoevalcap(Cider(), document) if has_words else 0.0

    expected = [one(document) for document in documents]
    assert_equal_with_tables_of_any_size(cider, documents, expected)
    values = np.split(cider_per_caption(documents), np.cumsum([len(document) for document in documents])[:-1])
    assert_equal([part.mean() for part in values], expected)


@pytest.mark.parametrize("metric", METRICS)
@given(documents=corpora, random=st.randoms(use_true_random=False))
def test_ngram_metrics_ignore_the_order(metric: Any, documents: list[list[Sample]], random: Any) -> None:
    order = random.sample(range(len(documents)), len(documents))
    shuffled = [random.sample(documents[number], len(documents[number])) for number in order]
    assert_equal(metric(shuffled), metric(documents)[order])


@given(st.lists(sentences, min_size=1))
def test_a_caption_equal_to_its_reference_scores_1(captions: list[str]) -> None:
    assert_equal(rouge_l([[(sentence, sentence)] for sentence in captions]), np.ones(len(captions)))
    long = [f"{sentence} one two three four" for sentence in captions]
    np.testing.assert_allclose(bleu([[(sentence, sentence)] for sentence in long]), 1, rtol=0, atol=1e-6)


def test_captions_equal_only_to_their_own_reference_have_cider_10() -> None:
    captions = ["a man runs home", "two dogs play in snow"]
    assert_equal(cider([[(sentence, sentence) for sentence in captions]]), [10])


def test_cider_weights_depend_on_the_document_only() -> None:
    shared_by_all = [("a man runs home", "a man runs home"), ("a man runs home", "a man runs home")]
    assert_equal(cider([shared_by_all, shared_by_all[:1]]), [0, 0])
    distinct = [("red", "red car"), ("dog", "blue car")]
    # car: log(2 / 2) = 0, so the first reference is `red` alone; no longer n-gram is shared; one bigram is missing.
    assert_equal(cider([distinct]), [10 * 1 / 4 * np.exp(-1 / 72) / 2])


def test_rouge_l_by_hand() -> None:
    precision, recall = 2 / 3, 2 / 5  # `a ... runs`
    one = (1 + 1.44) * precision * recall / (recall + 1.44 * precision)
    assert_equal(
        rouge_l([[("a man runs", "a dog runs up here")], [("a man runs", "runs a")]]), [one, 2.44 / 6 / (0.5 + 0.48)]
    )
    # Of several references the best precision and the best recall count, here from the first and from the second.
    assert_equal(
        rouge_l([[("a man runs", ("a dog runs up here", "man"))]]), [2.44 * precision / (1 + 1.44 * precision)]
    )


def test_bleu_by_hand() -> None:
    got = bleu([[("the the the cat", "the cat the dog sat")]])[0]
    assert_equal(got[0], (3 + 1e-15) / (4 + 1e-9) * np.exp(1 - (5 + 1e-9) / (4 + 1e-15)))
    # Of equally close references the shorter counts: no penalty.
    assert bleu([[("a b c d", ("a b c", "a b c d e"))]])[0, 0] == pytest.approx(1)


def test_ngram_metrics_accept_a_long_caption() -> None:
    caption, reference = " ".join(f"w{number % 97}" for number in range(3000)), "w1 w2 w3 w1 w2"
    document: list[Sample] = [(caption, reference), (reference, caption)]
    assert_equal(rouge_l([document]), [score_by_pycocoevalcap(Rouge(), document)])
    assert_equal(cider([document]), [score_by_pycocoevalcap(Cider(), document)])


def test_ngram_metrics_are_defined_for_empty_sides() -> None:
    documents = [[("", "a man runs")], [("a man runs", "")], [("", "")], [("", ""), ("", "")]]
    np.testing.assert_allclose(bleu(documents), 0, atol=1e-12)
    assert_equal(rouge_l(documents), [0, 0, 1, 1])
    assert not cider(documents).any()


def test_ngram_metrics_of_empty_documents_are_0() -> None:
    assert bleu([]).shape == (0, 4)
    assert rouge_l([]).shape == cider([]).shape == (0,)
    pair = ("a man runs home", "a man runs home")
    documents = [[], [pair, ("the dog", "the cat")], []]
    for metric in METRICS:
        got = metric(documents)
        assert not got[[0, 2]].any()
        assert_equal(got[[1]], metric(documents[1:2]))
        assert not metric([[], []]).any()


@pytest.mark.parametrize("metric", METRICS)
def test_index_documents_refuses_a_caption_without_references(metric: Any) -> None:
    with pytest.raises(PipelineError, match=r"document 1, caption 1 \('the dog'\) has no reference"):
        metric([[("a man", "a man")], [("a man", "a man"), ("the dog", ())]])
