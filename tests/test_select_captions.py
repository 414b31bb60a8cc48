"""The stage select_captions: its output, its log, and what it refuses."""

import json
from pathlib import Path

import pytest
from helpers.evaluation_files import Event, write_captions

from pipeline.evaluation.predictions import read_predictions
from pipeline.select_captions import main

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


def run(
    tmp_path: Path,
    captions: list[dict[str, list[Event]]],
    *,
    concepts: object = CONCEPTS,
    count: int | None = None,
    **settings: object,
) -> int:
    """Run the stage; the captions of member i are in i.json."""
    (tmp_path / "concepts.json").write_text(json.dumps(concepts))
    (tmp_path / "idf.json").write_text(json.dumps({"sentences": 30, "idf": IDF}))
    paths = []
    for number, of_member in enumerate(captions):
        external = {"used": number > 0, "details": f"data {number}." if number > 0 else ""}
        paths.append(str(write_captions(tmp_path / f"{number}.json", of_member, external_data=external)))
    entries = [{"captioner": "c", "seed": seed} for seed in range(count or len(captions))]
    options = ["--concepts", str(tmp_path / "concepts.json"), "--idf", str(tmp_path / "idf.json")]
    options += ["--captions", *paths, "--output", str(tmp_path / "ensemble.json")]
    return main(["--config", json.dumps({"members": entries} | settings), *options])


ONE: dict[str, list[Event]] = {"v_a": [(0.0, 5.0, "a man"), (5.0, 9.0, "the man runs")], "v_b": [(1.0, 2.0, "a man")]}
TWO: dict[str, list[Event]] = {"v_b": [(1.0, 2.0, "red")], "v_a": [(0.0, 5.0, "A man runs."), (5.0, 9.0, "a dog")]}


def test_select_captions_writes_the_selected_captions(tmp_path: Path) -> None:
    assert run(tmp_path, [ONE, TWO, TWO]) == 0
    submission = json.loads((tmp_path / "ensemble.json").read_text())
    assert submission["version"] == "VERSION 1.3"
    assert submission["external_data"] == {"used": True, "details": "data 1. data 2."}
    assert submission["results"] == {
        "v_a": [
            {"sentence": "A man runs.", "timestamp": [0, 5], "selected": {"member": 1, "concepts": 2, "idf": 2.0}},
            {"sentence": "the man runs", "timestamp": [5, 9], "selected": {"member": 0, "concepts": 2, "idf": 2.0}},
        ],
        "v_b": [{"sentence": "red", "timestamp": [1, 2], "selected": {"member": 1, "concepts": 1, "idf": 2.5}}],
    }
    inputs = json.loads((tmp_path / "ensemble.provenance.json").read_text())["inputs"]
    assert set(inputs) == {"concepts.json", "idf.json", "0.json", "1.json", "2.json"}


def test_the_captions_of_a_single_member_are_kept(tmp_path: Path) -> None:
    assert run(tmp_path, [ONE]) == 0
    results = json.loads((tmp_path / "ensemble.json").read_text())["results"]
    assert [caption["sentence"] for captions in results.values() for caption in captions] == [
        sentence for events in ONE.values() for *_, sentence in events
    ]


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"v_a": ONE["v_a"]}, "1.json: lacks video v_b"),
        (ONE | {"v_c": ONE["v_b"]}, "0.json: lacks video v_c"),
        (ONE | {"v_a": ONE["v_a"][:1]}, "1.json: video v_a has 1 captions, but 2"),
        (ONE | {"v_a": ONE["v_a"][::-1]}, "1.json: video v_a, caption 0: timestamp [5.0, 9.0], but [0.0, 5.0]"),
        (ONE | {"v_b": [(1.0, 2.5, "a man")]}, "1.json: video v_b, caption 0: timestamp [1.0, 2.5]"),
    ],
)
def test_members_with_other_proposals_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], other: dict[str, list[Event]], message: str
) -> None:
    assert run(tmp_path, [ONE, other]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "ensemble.json").exists()


def test_the_number_of_files_must_be_the_number_of_members(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path, [ONE, ONE], count=3) == 2
    assert "2 files, but config: select_captions.members names 3" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("concepts", "message"),
    [
        ({}, "expected a list"),
        ([{"forms": ["man"]}], "has no word and forms"),
        ([{"word": "man", "forms": "man"}], "has no word and forms"),
        ([{"word": "man", "forms": [["man"]]}], "has no word and forms"),
        (
            [{"word": "man", "forms": ["saw"], "pos": "NOUN"}, {"word": "see", "forms": ["saw"], "pos": "VERB"}],
            "'saw' is a form of 'man' and of 'see'",
        ),
    ],
)
def test_malformed_concepts_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], concepts: object, message: str
) -> None:
    assert run(tmp_path, [ONE], concepts=concepts) == 2
    assert message in capsys.readouterr().err


def test_explain_adds_the_deciding_criterion_and_the_losers(tmp_path: Path) -> None:
    assert run(tmp_path, [ONE, TWO], explain=True) == 0
    path = tmp_path / "ensemble.json"
    results = json.loads(path.read_text())["results"]
    captions = [*results["v_a"], *results["v_b"]]
    assert [caption["explained"]["by"] for caption in captions] == ["concepts", "concepts", "idf"]
    assert results["v_b"][0]["explained"] == {
        "name": "c-1",
        "by": "idf",
        "concepts": ["red"],
        "word": "red",
        "idf": 2.5,
        "losers": [{"name": "c-0", "sentence": "a man", "concepts": 1, "word": "man", "idf": 1.0}],
    }
    # The file stays readable for the evaluator and the next ensemble, and is the same without the explanations.
    assert read_predictions(path).results == results
    for captions in results.values():
        for caption in captions:
            del caption["explained"]
    assert run(tmp_path, [ONE, TWO]) == 0
    assert json.loads(path.read_text())["results"] == results


def test_empty_captions_lose_and_are_counted_and_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first: dict[str, list[Event]] = {"v_a": [(0.0, 5.0, ""), (5.0, 9.0, "a dog")], "v_b": [(1.0, 2.0, " . ")]}
    second: dict[str, list[Event]] = {
        "v_a": [(0.0, 5.0, "zzzz"), (5.0, 9.0, "zzzz")],
        "v_b": [(1.0, 2.0, "")],
    }
    assert run(tmp_path, [first, second]) == 0
    results = json.loads((tmp_path / "ensemble.json").read_text())["results"]
    assert results["v_a"][0]["sentence"] == "zzzz"
    assert results["v_a"][0]["selected"] == {"member": 1, "concepts": 0, "idf": 0.0, "empty": [0]}
    assert "empty" not in results["v_a"][1]["selected"]
    assert results["v_b"][0]["selected"]["empty"] == [0, 1]
    log = capsys.readouterr().err
    assert "empty captions by member: c-0: 2, c-1: 1" in log
    assert "1 proposals; the first is video v_b, caption 0" in log


def test_a_missing_member_file_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path, [ONE, TWO]) == 0
    (tmp_path / "1.json").unlink()
    words = ["--concepts", str(tmp_path / "concepts.json"), "--idf", str(tmp_path / "idf.json")]
    words += ["--captions", str(tmp_path / "0.json"), str(tmp_path / "1.json"), "--output", str(tmp_path / "new.json")]
    assert main(["--config", '{"members": [{"captioner": "a"}, {"captioner": "b"}]}', *words]) == 2
    assert "1.json: no such captions" in capsys.readouterr().err
    assert not (tmp_path / "new.json").exists()


@pytest.mark.parametrize("idf", [{"idf": [1.0]}, {"idf": {"man": "1"}}, {"idf": {"man": float("nan")}}])
def test_malformed_idf_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str], idf: object) -> None:
    assert run(tmp_path, [ONE]) == 0
    (tmp_path / "idf.json").write_text(json.dumps(idf))
    words = ["--concepts", str(tmp_path / "concepts.json"), "--idf", str(tmp_path / "idf.json")]
    words += ["--captions", str(tmp_path / "0.json"), "--output", str(tmp_path / "new.json")]
    assert main(["--config", '{"members": [{"captioner": "a"}]}', *words]) == 2
    assert "idf.json: " in capsys.readouterr().err


def test_duplicate_criteria_or_members_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path, [ONE], criteria=["idf", "idf"]) == 2
    assert "criteria names one twice" in capsys.readouterr().err
    again = {"captioner": "c", "seed": 0}
    assert run(tmp_path, [ONE, ONE], members=[again, again]) == 2
    assert "with the same seed twice" in capsys.readouterr().err
    assert run(tmp_path, [ONE, ONE], members=[again, again | {"before_scst": True}]) == 0
