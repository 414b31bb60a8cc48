"""The ensemble keeps the caption with most concepts, then the rarest word, then the earlier member's."""

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

from pipeline.captioning.ensemble import select
from pipeline.captioning.lexicon import Lexicon, read_concepts
from pipeline.captioning.selection import choose
from pipeline.datasets.text import words
from pipeline.evaluation.predictions import Predictions, read_predictions

CONCEPT_OF = {"man": "man", "men": "man", "run": "run", "runs": "run", "dog": "dog", "red": "red"}
IDF = {"a": 0.1, "the": 0.2, "man": 1.0, "runs": 2.0, "dog": 3.0, "red": 2.5}
LEXICON = Lexicon(CONCEPT_OF, IDF)


def test_most_distinct_concepts_win() -> None:
    chosen = choose(["a dog, a dog!", "The man runs.", "a man, two men"], LEXICON)
    assert chosen.short() == {"member": 1, "concepts": 2, "idf": 2.0}
    assert chosen.by == "concepts"


def test_of_equals_the_rarest_word_wins() -> None:
    chosen = choose(["the man runs", "a red dog", "the red man"], LEXICON)
    assert chosen.short() == {"member": 1, "concepts": 2, "idf": 3.0}
    assert (chosen.by, chosen.worth[1].word, chosen.worth[1].concepts) == ("idf", "dog", ("dog", "red"))


def test_of_full_equals_the_earlier_member_wins() -> None:
    chosen = choose(["nothing here", "a dog", "the dog", "dog"], LEXICON)
    assert (chosen.member, chosen.by) == (1, "order")


def test_a_word_that_training_never_had_earns_nothing() -> None:
    chosen = choose(["zzzz man", "a man"], LEXICON)
    assert chosen.short() == {"member": 0, "concepts": 1, "idf": 1.0}


def test_a_caption_without_words_loses_whatever_the_others_are_worth() -> None:
    chosen = choose(["", "zzzz", "..."], LEXICON)
    assert (chosen.member, chosen.by, chosen.empty) == (1, "words", [0, 2])
    assert choose(["", "!"], LEXICON).short() == {"member": 0, "concepts": 0, "idf": 0.0, "empty": [0, 1]}


def test_the_order_of_the_criteria_is_the_settings() -> None:
    captions = ["the man runs", "a dog"]
    assert choose(captions, LEXICON, ["concepts", "idf"]).member == 0
    assert choose(captions, LEXICON, ["idf", "concepts"]).member == 1


def test_either_criterion_may_be_left_out() -> None:
    captions = ["the man", "a red dog", "the red man runs"]
    assert choose(captions, LEXICON, ["concepts"]).member == 2
    assert choose(captions, LEXICON, ["idf"]).member == 1
    assert choose(["the man", "the dog"], LEXICON, ["concepts"]).by == "order"


@given(
    st.lists(st.lists(st.sampled_from([*CONCEPT_OF, "a", "the", "zzzz"]), max_size=5).map(" ".join), min_size=1),
    st.sampled_from([["concepts", "idf"], ["idf", "concepts"], ["concepts"], ["idf"]]),
)
def test_no_other_caption_is_better_and_no_earlier_one_as_good(captions: list[str], criteria: list[str]) -> None:
    def value(caption: str) -> tuple[float, ...]:
        """As the rule is stated, without the code under test."""
        found = caption.split()
        measures = {
            "concepts": len({CONCEPT_OF[word] for word in found if word in CONCEPT_OF}),
            "idf": max((IDF.get(word, 0.0) for word in found), default=0.0),
        }
        return (bool(found), *(measures[name] for name in criteria))

    values = [value(caption) for caption in captions]
    chosen = choose(captions, LEXICON, criteria)
    assert chosen.member == values.index(max(values))
    assert (chosen.by == "order") == (values.count(max(values)) > 1 or len(values) == 1)


def test_concepts_without_forms_are_their_words(tmp_path: Path) -> None:
    path = tmp_path / "concepts.json"
    path.write_text('[{"word": "man", "pos": "NOUN", "count": 3, "idf": 1.0}]')
    assert read_concepts(path) == {"man": "man"}


def perturbed(predictions: Predictions, vocabulary: list[str], seed: int) -> Predictions:
    """The same proposals, in whose captions every fifth word is another; one caption in 200 has none."""
    draw = random.Random(seed)

    def other(sentence: str) -> str:
        said = words(sentence) if draw.random() > 0.005 else []
        return " ".join(word if draw.random() > 0.2 else draw.choice(vocabulary) for word in said)

    results = {
        video: [{**caption, "sentence": other(caption["sentence"])} for caption in captions]
        for video, captions in predictions.results.items()
    }
    return replace(predictions, results=results, external_data={"used": False, "details": ""})


def test_real_captions_at_full_size_are_selected_quickly_and_always_alike(shared: Path) -> None:
    real = read_predictions(shared / "data" / "predictions" / "bmt_val_1.json")
    sentences = [caption["sentence"] for captions in real.results.values() for caption in captions]
    assert len(sentences) > 10_000
    counts = Counter(word for sentence in sentences for word in set(words(sentence)))
    idf = {word: log(len(sentences) / count) for word, count in counts.items()}
    vocabulary = sorted(counts)
    lexicon = Lexicon({word: word for word, _ in counts.most_common(1000)[50:]}, idf)
    members = [perturbed(real, vocabulary, seed) for seed in range(5)]
    names = [f"m-{seed}" for seed in range(5)]
    start = time.process_time()  # of this process: what others do on the machine is not in it
    selected = select(members, lexicon, names=names)
    assert time.process_time() - start < 10
    assert sum(selected.shares) == len(sentences)
    assert min(selected.shares) > 0
    assert sum(selected.empty) > 0
    assert json.dumps(select(members, lexicon, names=names).submission) == json.dumps(selected.submission)
    # Turned round, the members win with the same worth: the order matters between equals alone.
    turned = select(members[::-1], lexicon, names=names[::-1])
    for video, captions in selected.submission["results"].items():
        for one, two in zip(captions, turned.submission["results"][video], strict=True):
            assert one["timestamp"] == two["timestamp"]
            assert [one["selected"][key] for key in ("concepts", "idf")] == [
                two["selected"][key] for key in ("concepts", "idf")
            ]
            assert one["sentence"] == two["sentence"] or "order" in (one["explained"]["by"], two["explained"]["by"])


@pytest.mark.parametrize("criteria", [["concepts"], ["idf"]])
def test_each_criterion_alone_is_best_in_what_it_asks_for(shared: Path, criteria: list[str]) -> None:
    real = read_predictions(shared / "data" / "predictions" / "bmt_val_2.json")
    few = replace(real, results=dict(list(real.results.items())[:200]))
    counts = Counter(word for captions in few.results.values() for one in captions for word in words(one["sentence"]))
    idf = {word: 10 - log(count) for word, count in counts.items()}
    lexicon = Lexicon({word: word for word in counts if len(word) > 3}, idf)
    members = [perturbed(few, sorted(counts), seed) for seed in range(5)]

    def mean(results: dict[str, list[dict[str, dict[str, float]]]], key: str) -> float:
        values = [caption["selected"][key] for captions in results.values() for caption in captions]
        return sum(values) / len(values)

    both = {
        name: mean(select(members, lexicon, [name]).submission["results"], criteria[0]) for name in ("concepts", "idf")
    }
    assert max(both, key=lambda name: both[name]) == criteria[0]
