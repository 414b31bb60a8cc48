"""The ensemble selects the caption with most concepts, then that with the rarest word, then the earlier member's."""

import json
import random
import time
from collections import Counter
from dataclasses import replace
from math import log
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.captioning.ensemble import ConceptLexicon, select_caption, select_captions
from pipeline.datasets.concepts import concept_of_forms, read_concepts
from pipeline.datasets.text import split_words
from pipeline.evaluation.predictions import Predictions, read_predictions

CONCEPT_OF = {"man": "man", "men": "man", "run": "run", "runs": "run", "dog": "dog", "red": "red"}
IDF = {"a": 0.1, "the": 0.2, "man": 1.0, "runs": 2.0, "dog": 3.0, "red": 2.5}
LEXICON = ConceptLexicon(CONCEPT_OF, IDF)


def test_select_caption_prefers_most_distinct_concepts() -> None:
    selection = select_caption(["a dog, a dog!", "The man runs.", "a man, two men"], LEXICON)
    assert selection.summary() == {"member": 1, "concepts": 2, "idf": 2.0}
    assert selection.decided_by == "concepts"


def test_select_caption_prefers_the_rarest_word_of_equal_captions() -> None:
    selection = select_caption(["the man runs", "a red dog", "the red man"], LEXICON)
    assert selection.summary() == {"member": 1, "concepts": 2, "idf": 3.0}
    assert (selection.decided_by, selection.scores[1].word, selection.scores[1].concepts) == (
        "idf",
        "dog",
        ("dog", "red"),
    )


def test_select_caption_prefers_the_earlier_member_of_equal_captions() -> None:
    selection = select_caption(["nothing here", "a dog", "the dog", "dog"], LEXICON)
    assert (selection.member, selection.decided_by) == (1, "order")


def test_words_without_idf_count_as_zero() -> None:
    selection = select_caption(["zzzz man", "a man"], LEXICON)
    assert selection.summary() == {"member": 0, "concepts": 1, "idf": 1.0}


def test_a_caption_without_words_loses_against_every_other() -> None:
    selection = select_caption(["", "zzzz", "..."], LEXICON)
    assert (selection.member, selection.decided_by, selection.empty_members) == (1, "words", [0, 2])
    assert select_caption(["", "!"], LEXICON).summary() == {"member": 0, "concepts": 0, "idf": 0.0, "empty": [0, 1]}


def test_select_caption_applies_the_criteria_in_the_given_order() -> None:
    captions = ["the man runs", "a dog"]
    assert select_caption(captions, LEXICON, ["concepts", "idf"]).member == 0
    assert select_caption(captions, LEXICON, ["idf", "concepts"]).member == 1


def test_select_caption_works_with_one_criterion() -> None:
    captions = ["the man", "a red dog", "the red man runs"]
    assert select_caption(captions, LEXICON, ["concepts"]).member == 2
    assert select_caption(captions, LEXICON, ["idf"]).member == 1
    assert select_caption(["the man", "the dog"], LEXICON, ["concepts"]).decided_by == "order"


@given(
    st.lists(st.lists(st.sampled_from([*CONCEPT_OF, "a", "the", "zzzz"]), max_size=5).map(" ".join), min_size=1),
    st.sampled_from([["concepts", "idf"], ["idf", "concepts"], ["concepts"], ["idf"]]),
)
def test_select_caption_selects_the_first_of_the_best(captions: list[str], criteria: list[str]) -> None:
    def value(caption: str) -> tuple[float, ...]:
        """The rule, written without the code under test."""
        caption_words = caption.split()
        measures = {
            "concepts": len({CONCEPT_OF[word] for word in caption_words if word in CONCEPT_OF}),
            "idf": max((IDF.get(word, 0.0) for word in caption_words), default=0.0),
        }
        return (bool(caption_words), *(measures[name] for name in criteria))

    values = [value(caption) for caption in captions]
    selection = select_caption(captions, LEXICON, criteria)
    assert selection.member == values.index(max(values))
    assert (selection.decided_by == "order") == (values.count(max(values)) > 1 or len(values) == 1)


def test_concept_of_forms_uses_the_word_of_a_concept_without_forms(tmp_path: Path) -> None:
    path = tmp_path / "concepts.json"
    path.write_text('[{"word": "man", "pos": "NOUN", "count": 3, "idf": 1.0}]')
    assert concept_of_forms(read_concepts(path), path) == {"man": "man"}


def perturb_captions(predictions: Predictions, vocabulary: list[str], seed: int) -> Predictions:
    """Replace every fifth word of the captions by another; one caption in 200 becomes empty."""
    draw = random.Random(seed)

    def perturb(sentence: str) -> str:
        tokens = split_words(sentence) if draw.random() > 0.005 else []
        return " ".join(word if draw.random() > 0.2 else draw.choice(vocabulary) for word in tokens)

    results = {
        video: [{**caption, "sentence": perturb(caption["sentence"])} for caption in captions]
        for video, captions in predictions.results.items()
    }
    return replace(predictions, results=results, external_data={"used": False, "details": ""})


@pytest.mark.parametrize("num_videos", [600, pytest.param(4483, marks=pytest.mark.campaign)])
def test_select_captions_of_real_captions_is_fast_and_deterministic(shared: Path, num_videos: int) -> None:
    real = read_predictions(shared / "data" / "predictions" / "bmt_val_1.json")
    real = replace(real, results=dict(list(real.results.items())[:num_videos]))
    sentences = [caption["sentence"] for captions in real.results.values() for caption in captions]
    assert len(sentences) > 3 * num_videos
    counts = Counter(word for sentence in sentences for word in set(split_words(sentence)))
    idf = {word: log(len(sentences) / count) for word, count in counts.items()}
    vocabulary = sorted(counts)
    lexicon = ConceptLexicon({word: word for word, _ in counts.most_common(1000)[50:]}, idf)
    members = [perturb_captions(real, vocabulary, seed) for seed in range(5)]
    names = [f"m-{seed}" for seed in range(5)]
    start = time.process_time()  # of this process: what others do on the machine is not in it
    ensemble = select_captions(members, lexicon, names=names)
    assert time.process_time() - start < len(sentences) / 1500
    assert sum(ensemble.num_selected) == len(sentences)
    assert min(ensemble.num_selected) > 0
    assert sum(ensemble.num_empty) > 0
    assert json.dumps(select_captions(members, lexicon, names=names).submission) == json.dumps(ensemble.submission)
    # In reverse order, the same scores win: the order matters only between equal captions.
    reversed_ensemble = select_captions(members[::-1], lexicon, names=names[::-1])
    for video, captions in ensemble.submission["results"].items():
        for one, two in zip(captions, reversed_ensemble.submission["results"][video], strict=True):
            assert one["timestamp"] == two["timestamp"]
            assert [one["selected"][key] for key in ("concepts", "idf")] == [
                two["selected"][key] for key in ("concepts", "idf")
            ]
            assert one["sentence"] == two["sentence"] or "order" in (one["explained"]["by"], two["explained"]["by"])


@pytest.mark.parametrize("criteria", [["concepts"], ["idf"]])
def test_each_criterion_alone_is_best_in_its_own_measure(shared: Path, criteria: list[str]) -> None:
    real = read_predictions(shared / "data" / "predictions" / "bmt_val_2.json")
    few = replace(real, results=dict(list(real.results.items())[:200]))
    counts = Counter(
        word for captions in few.results.values() for one in captions for word in split_words(one["sentence"])
    )
    idf = {word: 10 - log(count) for word, count in counts.items()}
    lexicon = ConceptLexicon({word: word for word in counts if len(word) > 3}, idf)
    members = [perturb_captions(few, sorted(counts), seed) for seed in range(5)]

    def mean(results: dict[str, list[dict[str, dict[str, float]]]], key: str) -> float:
        values = [caption["selected"][key] for captions in results.values() for caption in captions]
        return sum(values) / len(values)

    both = {
        name: mean(select_captions(members, lexicon, [name]).submission["results"], criteria[0])
        for name in ("concepts", "idf")
    }
    assert max(both, key=lambda name: both[name]) == criteria[0]
