"""BLEU, ROUGE-L and CIDEr give pycocoevalcap's numbers, and have the properties that their definitions promise."""

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
from pipeline.evaluation.cider import cider
from pipeline.evaluation.ngrams import Sample
from pipeline.evaluation.rouge import rouge_l

METRICS = [bleu, rouge_l, cider]

# The tokenizer leaves a no-break space in `1 1/2`: white space to BLEU and CIDEr, part of a word to ROUGE-L.
words = st.sampled_from(["a", "man", "runs", "home", "dog", "the", "1\u00a01/2"])
sentences = st.lists(words, max_size=9).map(" ".join)
pairs = st.tuples(sentences, sentences)
samples = st.tuples(sentences, st.one_of(sentences, st.lists(sentences, min_size=1, max_size=3).map(tuple)))
corpora = st.lists(st.lists(st.one_of(pairs, samples), min_size=1, max_size=5), min_size=1, max_size=4)


def several(references: str | tuple[str, ...]) -> list[str]:
    return [references] if isinstance(references, str) else list(references)


def judge(scorer: Any, document: list[Sample], **options: Any) -> Any:
    """The score of pycocoevalcap."""
    captions = {number: [caption] for number, (caption, _) in enumerate(document)}
    references = {number: several(references) for number, (_, references) in enumerate(document)}
    return scorer.compute_score(references, captions, **options)[0]


def same(got: Any, expected: Any) -> None:
    np.testing.assert_allclose(got, expected, rtol=1e-12, atol=1e-300)


@pytest.fixture
def golden(shared: Path) -> list[dict[str, Any]]:
    lines = (shared / "golden/metrics/pairs_golden.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(lines) == 8069
    return [json.loads(line) for line in lines]


def test_golden_pairs(golden: list[dict[str, Any]]) -> None:
    documents = [[(row["hyp"], row["ref"])] for row in golden]
    np.testing.assert_allclose(bleu(documents), [row["bleu"] for row in golden], rtol=1e-9, atol=0)
    np.testing.assert_allclose(rouge_l(documents), [row["rouge_l"] for row in golden], rtol=0, atol=1e-9)
    assert not cider(documents).any()


def test_golden_cider_takes_all_pairs_as_one_corpus(golden: list[dict[str, Any]]) -> None:
    document = [(row["hyp"], row["ref"]) for row in golden]
    expected = np.mean([row["cider_corpusdf"] for row in golden])
    np.testing.assert_allclose(cider([document]), expected, rtol=0, atol=1e-9)


@given(corpora)
def test_bleu_is_that_of_pycocoevalcap(documents: list[list[Sample]]) -> None:
    same(bleu(documents), [judge(Bleu(4), document, verbose=0) for document in documents])


@given(corpora)
def test_rouge_is_that_of_pycocoevalcap(documents: list[list[Sample]]) -> None:
    same(rouge_l(documents), [judge(Rouge(), document) for document in documents])


@given(corpora)
def test_cider_is_that_of_pycocoevalcap(documents: list[list[Sample]]) -> None:
    def one(document: list[Sample]) -> float:
        said = any(any(several(references)) for _, references in document)  # else pycocoevalcap fails
        return judge(Cider(), document) if said else 0.0

    same(cider(documents), [one(document) for document in documents])


@pytest.mark.parametrize("metric", METRICS)
@given(documents=corpora, random=st.randoms(use_true_random=False))
def test_order_does_not_matter(metric: Any, documents: list[list[Sample]], random: Any) -> None:
    order = random.sample(range(len(documents)), len(documents))
    shuffled = [random.sample(documents[number], len(documents[number])) for number in order]
    same(metric(shuffled), metric(documents)[order])


@pytest.mark.parametrize("metric", METRICS)
@given(documents=corpora)
def test_documents_do_not_meet(metric: Any, documents: list[list[Sample]]) -> None:
    same(metric(documents), np.concatenate([metric([document]) for document in documents]))


@pytest.mark.parametrize("metric", METRICS)
@given(documents=corpora)
def test_small_tables_give_the_same_scores(metric: Any, documents: list[list[Sample]]) -> None:
    at_once = metric(documents)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ngrams, "CELLS", 1)
        same(metric(documents), at_once)


@given(st.lists(sentences, min_size=1))
def test_a_caption_like_its_reference_is_perfect(said: list[str]) -> None:
    same(rouge_l([[(sentence, sentence)] for sentence in said]), np.ones(len(said)))
    long = [f"{sentence} one two three four" for sentence in said]
    np.testing.assert_allclose(bleu([[(sentence, sentence)] for sentence in long]), 1, rtol=0, atol=1e-6)


def test_captions_like_their_own_reference_alone_have_the_highest_cider() -> None:
    said = ["a man runs home", "two dogs play in snow"]
    same(cider([[(sentence, sentence) for sentence in said]]), [10])


def test_the_worth_of_ngrams_follows_from_the_document_alone() -> None:
    shared_by_all = [("a man runs home", "a man runs home"), ("a man runs home", "a man runs home")]
    same(cider([shared_by_all, shared_by_all[:1]]), [0, 0])
    told_apart = [("red", "red car"), ("dog", "blue car")]
    # car: log(2 / 2) = 0, so the first reference is `red` alone; no longer n-gram is shared; one bigram is missing.
    same(cider([told_apart]), [10 * 1 / 4 * np.exp(-1 / 72) / 2])


def test_rouge_by_hand() -> None:
    precision, recall = 2 / 3, 2 / 5  # `a ... runs`
    one = (1 + 1.44) * precision * recall / (recall + 1.44 * precision)
    same(rouge_l([[("a man runs", "a dog runs up here")], [("a man runs", "runs a")]]), [one, 2.44 / 6 / (0.5 + 0.48)])
    # Of several references the best precision and the best recall count, here from the first and from the second.
    same(rouge_l([[("a man runs", ("a dog runs up here", "man"))]]), [2.44 * precision / (1 + 1.44 * precision)])


def test_bleu_by_hand() -> None:
    got = bleu([[("the the the cat", "the cat the dog sat")]])[0]
    same(got[0], (3 + 1e-15) / (4 + 1e-9) * np.exp(1 - (5 + 1e-9) / (4 + 1e-15)))
    # Of equally close references the shorter counts: no penalty.
    assert bleu([[("a b c d", ("a b c", "a b c d e"))]])[0, 0] == pytest.approx(1)


def test_a_long_caption_is_no_exception() -> None:
    caption, reference = " ".join(f"w{number % 97}" for number in range(3000)), "w1 w2 w3 w1 w2"
    document: list[Sample] = [(caption, reference), (reference, caption)]
    same(rouge_l([document]), [judge(Rouge(), document)])
    same(cider([document]), [judge(Cider(), document)])


def test_empty_sides_are_defined() -> None:
    documents = [[("", "a man runs")], [("a man runs", "")], [("", "")], [("", ""), ("", "")]]
    np.testing.assert_allclose(bleu(documents), 0, atol=1e-12)
    same(rouge_l(documents), [0, 0, 1, 1])
    assert not cider(documents).any()


def test_documents_without_captions_score_zero() -> None:
    assert bleu([]).shape == (0, 4)
    assert rouge_l([]).shape == cider([]).shape == (0,)
    pair = ("a man runs home", "a man runs home")
    documents = [[], [pair, ("the dog", "the cat")], []]
    for metric in METRICS:
        got = metric(documents)
        assert not got[[0, 2]].any()
        same(got[[1]], metric(documents[1:2]))
        assert not metric([[], []]).any()


@pytest.mark.parametrize("metric", METRICS)
def test_a_caption_without_any_reference_is_refused(metric: Any) -> None:
    with pytest.raises(PipelineError, match=r"document 1, caption 1 \('the dog'\) has no reference"):
        metric([[("a man", "a man")], [("a man", "a man"), ("the dog", ())]])
