"""The ensemble keeps the caption with most concepts, then the rarest word, then the earlier member's."""

import json
from pathlib import Path

import pytest
from corpora import Spoken, write_captions
from hypothesis import given
from hypothesis import strategies as st

from pipeline.select_captions import choose, main, read_concepts

CONCEPT_OF = {"man": "man", "men": "man", "run": "run", "runs": "run", "dog": "dog", "red": "red"}
IDF = {"a": 0.1, "the": 0.2, "man": 1.0, "runs": 2.0, "dog": 3.0, "red": 2.5}
CONCEPTS = [
    {
        "word": word,
        "pos": "NOUN",
        "count": 1,
        "idf": 1.0,
        "forms": [form for form, of in CONCEPT_OF.items() if of == word],
    }
    for word in ("man", "run", "dog", "red")
]


def test_most_distinct_concepts_win() -> None:
    assert choose(["a dog, a dog!", "The man runs.", "a man, two men"], CONCEPT_OF, IDF) == {
        "member": 1,
        "concepts": 2,
        "idf": 2.0,
    }


def test_of_equals_the_rarest_word_wins() -> None:
    assert choose(["the man runs", "a red dog", "the red man"], CONCEPT_OF, IDF) == {
        "member": 1,
        "concepts": 2,
        "idf": 3.0,
    }


def test_of_full_equals_the_earlier_member_wins() -> None:
    assert choose(["nothing here", "a dog", "the dog", "dog"], CONCEPT_OF, IDF)["member"] == 1


def test_a_word_that_training_never_had_earns_nothing() -> None:
    assert choose(["zzzz man", "a man"], CONCEPT_OF, IDF) == {"member": 0, "concepts": 1, "idf": 1.0}
    assert choose(["", "zzzz"], CONCEPT_OF, IDF) == {"member": 0, "concepts": 0, "idf": 0.0}


def test_the_order_of_the_criteria_is_the_settings() -> None:
    captions = ["the man runs", "a dog"]
    assert choose(captions, CONCEPT_OF, IDF, ["concepts", "idf"])["member"] == 0
    assert choose(captions, CONCEPT_OF, IDF, ["idf", "concepts"])["member"] == 1
    assert choose(captions[::-1], CONCEPT_OF, IDF, [])["member"] == 0


@given(st.lists(st.lists(st.sampled_from([*CONCEPT_OF, "a", "the", "zzzz"]), max_size=5).map(" ".join), min_size=1))
def test_no_other_caption_is_better_and_no_earlier_one_as_good(captions: list[str]) -> None:
    chosen = choose(captions, CONCEPT_OF, IDF)
    worth = [tuple(list(choose([caption], CONCEPT_OF, IDF).values())[1:]) for caption in captions]
    assert (chosen["concepts"], chosen["idf"]) == worth[chosen["member"]] == max(worth)
    assert worth.index(max(worth)) == chosen["member"]


def run(
    tmp_path: Path, members: list[dict[str, list[Spoken]]], *, concepts: object = CONCEPTS, count: int | None = None
) -> int:
    """Run the command; the captions of member i stand in i.json."""
    (tmp_path / "concepts.json").write_text(json.dumps(concepts))
    (tmp_path / "idf.json").write_text(json.dumps({"sentences": 30, "idf": IDF}))
    paths = []
    for number, said in enumerate(members):
        external = {"used": number > 0, "details": f"data {number}." if number > 0 else ""}
        paths.append(str(write_captions(tmp_path / f"{number}.json", said, external_data=external)))
    config = {"members": [{"captioner": "c", "seed": seed} for seed in range(count or len(members))]}
    options = ["--concepts", str(tmp_path / "concepts.json"), "--idf", str(tmp_path / "idf.json")]
    return main(
        ["--config", json.dumps(config), *options, "--captions", *paths, "--output", str(tmp_path / "ensemble.json")]
    )


ONE: dict[str, list[Spoken]] = {"v_a": [(0.0, 5.0, "a man"), (5.0, 9.0, "the man runs")], "v_b": [(1.0, 2.0, "a man")]}
TWO: dict[str, list[Spoken]] = {"v_b": [(1.0, 2.0, "red")], "v_a": [(0.0, 5.0, "A man runs."), (5.0, 9.0, "a dog")]}


def test_command(tmp_path: Path) -> None:
    assert run(tmp_path, [ONE, TWO, TWO]) == 0
    got = json.loads((tmp_path / "ensemble.json").read_text())
    assert got["version"] == "VERSION 1.3"
    assert got["external_data"] == {"used": True, "details": "data 1. data 2."}
    assert got["results"] == {
        "v_a": [
            {"sentence": "A man runs.", "timestamp": [0, 5], "selected": {"member": 1, "concepts": 2, "idf": 2.0}},
            {"sentence": "the man runs", "timestamp": [5, 9], "selected": {"member": 0, "concepts": 2, "idf": 2.0}},
        ],
        "v_b": [{"sentence": "red", "timestamp": [1, 2], "selected": {"member": 1, "concepts": 1, "idf": 2.5}}],
    }
    inputs = json.loads((tmp_path / "ensemble.provenance.json").read_text())["inputs"]
    assert set(inputs) == {"concepts.json", "idf.json", "0.json", "1.json", "2.json"}


def test_one_member_is_kept_as_it_is(tmp_path: Path) -> None:
    assert run(tmp_path, [ONE]) == 0
    results = json.loads((tmp_path / "ensemble.json").read_text())["results"]
    assert [caption["sentence"] for captions in results.values() for caption in captions] == [
        sentence for events in ONE.values() for *_, sentence in events
    ]


@pytest.mark.parametrize(
    ("other", "says"),
    [
        ({"v_a": ONE["v_a"]}, "1.json: lacks video v_b"),
        (ONE | {"v_c": ONE["v_b"]}, "0.json: lacks video v_c"),
        (ONE | {"v_a": ONE["v_a"][:1]}, "1.json: video v_a has 1 captions, but 2"),
        (ONE | {"v_a": ONE["v_a"][::-1]}, "1.json: video v_a, caption 0: timestamp [5.0, 9.0], but [0.0, 5.0]"),
        (ONE | {"v_b": [(1.0, 2.5, "a man")]}, "1.json: video v_b, caption 0: timestamp [1.0, 2.5]"),
    ],
)
def test_members_with_other_proposals_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], other: dict[str, list[Spoken]], says: str
) -> None:
    assert run(tmp_path, [ONE, other]) == 2
    assert says in capsys.readouterr().err
    assert not (tmp_path / "ensemble.json").exists()


def test_as_many_files_as_members_are_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path, [ONE, ONE], count=3) == 2
    assert "2 files, but config: select_captions.members names 3" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("concepts", "says"),
    [
        ({}, "expected a list"),
        ([{"forms": ["man"]}], "has no word and forms"),
        ([{"word": "man", "forms": "man"}], "has no word and forms"),
        (
            [{"word": "man", "forms": ["saw"]}, {"word": "see", "forms": ["saw"]}],
            "'saw' is a form of 'man' and of 'see'",
        ),
    ],
)
def test_malformed_concepts_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], concepts: object, says: str
) -> None:
    assert run(tmp_path, [ONE], concepts=concepts) == 2
    assert says in capsys.readouterr().err


def test_concepts_without_forms_are_their_words(tmp_path: Path) -> None:
    path = tmp_path / "concepts.json"
    path.write_text('[{"word": "man", "pos": "NOUN", "count": 3, "idf": 1.0}]')
    assert read_concepts(path) == {"man": "man"}
