"""The stage `compare_results`: tables of numbers of result files, means over seeds, differences, published numbers."""

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.compare_results import main
from pipeline.config.compare_results import ResultsStudy
from pipeline.io.atomic import write_json

COLUMNS = [
    {"title": "accuracy", "path": "models/{row}/class/top1", "scale": 100, "digits": 1},
    {"title": "words", "path": "models/{row}/words", "digits": 0},
]
MODELS = {
    "small": {"class": {"top1": 0.5}, "words": 40},
    "large": {"class": {"top1": 0.75, "runs": [0.5, 1.0]}, "words": 60},
}


def write_result(results: Path, name: str, gain: float = 0.0) -> None:
    """Write a result file with two models, the large one better by a gain than usual."""
    large = {**MODELS["large"], "class": {"top1": 0.75 + gain, "runs": [0.5, 1.0]}}
    write_json(results / f"{name}_test_scores.json", {"models": {**MODELS, "large": large}})


def table(**changes: Any) -> dict[str, Any]:
    rows = [
        {"name": "small", "published": {"paper": {"accuracy": 40.0}}},
        {"name": "large", "label": "Large model", "published": {"paper": {"accuracy": 42.5, "words": 7}}},
    ]
    pairs = [{"row": "large", "compared_to": "small"}]
    file = "results/{dataset}_test_scores.json"
    return {"title": "Table 1", "file": file, "columns": COLUMNS, "rows": rows, "pairs": pairs, **changes}


def compare(results: Path, *tables: dict[str, Any], **study: Any) -> int:
    settings = {"title": "Study", "tables": tables or [table()], **study}
    words = ["--config", json.dumps(settings), "--dataset", str(results / "toy")]
    return main([*words, "--output", str(results / "toy_study.json")])


def read(results: Path) -> dict[str, Any]:
    data: dict[str, Any] = json.loads((results / "toy_study.json").read_text())
    return data


def rows_of(results: Path) -> dict[str, Any]:
    return {row["name"]: row for row in read(results)["tables"][0]["rows"]}


def test_numbers_stand_beside_published_ones_in_the_units_of_the_table(tmp_path: Path) -> None:
    write_result(tmp_path, "toy")
    assert compare(tmp_path) == 0
    large = rows_of(tmp_path)["large"]
    assert large["values"] == {
        "accuracy": {"mean": 75.0, "by_seed": [75.0]},
        "words": {"mean": 60.0, "by_seed": [60.0]},
    }
    assert large["published"] == {"paper": {"accuracy": 42.5, "words": 7.0}}
    [difference] = read(tmp_path)["tables"][0]["differences"]
    assert difference["values"]["accuracy"]["mean"] == 25.0
    assert difference["published"] == {"paper": {"accuracy": 2.5}}, "only the columns that both rows have"
    document = (tmp_path / "toy_study.md").read_text()
    for line in ("| Large model | 75.0 | 60 |", "| Large model, paper | 42.5 | 7 |", "| small, paper | 40.0 |  |"):
        assert line in document
    assert "| Large model - small | +25.0 | +20 |" in document
    assert "| Large model - small, paper | +2.5 |  |" in document
    assert (tmp_path / "toy_study.png").read_bytes().startswith(b"\x89PNG")


def test_seeds_are_averaged_and_differences_are_paired(tmp_path: Path) -> None:
    gains = {1: 0.0, 2: 0.1, 3: -0.02}
    for seed, gain in gains.items():
        write_result(tmp_path, f"toy_s{seed}", gain)
    assert compare(tmp_path, seeds=list(gains)) == 0
    value = rows_of(tmp_path)["large"]["values"]["accuracy"]
    accuracies = [75 + 100 * gain for gain in gains.values()]
    assert value["by_seed"] == pytest.approx(accuracies)
    assert value["mean"] == pytest.approx(np.mean(accuracies))
    margin = 4.30265 * np.std(accuracies, ddof=1) / 3**0.5
    assert value["interval"] == pytest.approx([value["mean"] - margin, value["mean"] + margin], rel=1e-5)
    assert rows_of(tmp_path)["small"]["values"]["accuracy"]["interval"] == [50.0, 50.0]
    [difference] = read(tmp_path)["tables"][0]["differences"]
    assert difference["values"]["accuracy"]["by_seed"] == pytest.approx([value - 50 for value in accuracies])
    document = (tmp_path / "toy_study.md").read_text()
    assert "1, 2, 3" in document
    assert "95 %" in document


@pytest.mark.parametrize("draw", range(3))
def test_the_order_of_rows_and_columns_changes_no_number(tmp_path: Path, draw: int) -> None:
    write_result(tmp_path, "toy")
    assert compare(tmp_path) == 0
    before = rows_of(tmp_path), read(tmp_path)["tables"][0]["differences"]
    shuffled = table()
    for key in ("rows", "columns"):
        shuffled[key] = random.Random(draw).sample(shuffled[key], len(shuffled[key]))
    assert compare(tmp_path, shuffled) == 0
    assert (rows_of(tmp_path), read(tmp_path)["tables"][0]["differences"]) == before


def test_rows_may_have_files_and_paths_of_their_own_lack_numbers_or_be_published_only(tmp_path: Path) -> None:
    write_result(tmp_path, "toy")
    write_json(tmp_path / "toy" / "other.json", {"accuracy": 0.25})
    rows = [
        {"name": "large", "paths": {"accuracy": "models/large/class/runs/1"}},
        {"name": "other", "file": "results/{dataset}/other.json", "paths": {"accuracy": "accuracy", "words": None}},
        {"name": "theirs", "computed": False, "published": {"paper": {"accuracy": 90}}},
    ]
    pairs = [{"row": "large", "compared_to": "other"}, {"row": "large", "compared_to": "theirs"}]
    assert compare(tmp_path, table(rows=rows, pairs=pairs)) == 0
    by_name = rows_of(tmp_path)
    assert by_name["large"]["values"]["accuracy"]["mean"] == 100.0
    assert by_name["other"]["values"].keys() == {"accuracy"}
    assert by_name["theirs"]["values"] == {}
    differences = read(tmp_path)["tables"][0]["differences"]
    assert [row["values"].keys() for row in differences] == [{"accuracy"}, set()]
    assert "theirs" not in "".join(
        ResultsStudy.parse({"title": "x", "tables": [table(rows=rows, pairs=[])]}, "").result_files("toy")
    )


@pytest.mark.parametrize(
    ("content", "facts"),
    [
        ({"models": {"small": MODELS["small"]}}, ("models/large/class/top1", "'large'", "small")),
        ({"models": {**MODELS, "large": {"class": 1, "words": 2}}}, ("models/large/class/top1", "'top1'")),
        ({"models": {**MODELS, "large": {**MODELS["large"], "words": None}}}, ("models/large/words", "None")),
        ({"models": {**MODELS, "large": {**MODELS["large"], "words": True}}}, ("models/large/words", "True")),
    ],
)
def test_a_number_that_is_missing_is_one_line_with_file_key_and_row(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: dict[str, Any], facts: tuple[str, ...]
) -> None:
    write_json(tmp_path / "toy_test_scores.json", content)
    assert compare(tmp_path) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    for fact in ("toy_test_scores.json", "row 'large'", "Table 1", *facts):
        assert fact in error
    assert not (tmp_path / "toy_study.json").exists()


def test_a_missing_result_file_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_result(tmp_path, "toy_s1")
    assert compare(tmp_path, seeds=[1, 2]) == 2
    assert "toy_s2_test_scores.json" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changes", "facts"),
    [
        ({"file": None}, ("small", "file")),
        ({"file": "../{dataset}_test_scores.json"}, ("small", "../{dataset}")),
        ({"file": "results/{seed}_test_scores.json"}, ("small", "{seed}")),
        ({"rows": [{"name": "small"}, {"name": "small"}]}, ("Table 1", "small")),
        ({"rows": [{"name": "a b"}]}, ("a b",)),
        ({"rows": [{"name": "small", "published": {"paper": {"recall": 1}}}]}, ("recall", "accuracy, words")),
        ({"rows": [{"name": "small", "paths": {"recall": "x"}}]}, ("recall", "accuracy, words")),
        ({"rows": [{"name": "small", "computed": False}]}, ("small", "published")),
        ({"pairs": [{"row": "small", "compared_to": "tiny"}]}, ("tiny", "small, large")),
        ({"columns": [*COLUMNS, COLUMNS[0]]}, ("columns", "accuracy")),
        ({"columns": [{"title": "accuracy", "path": "a//b"}]}, ("a//b",)),
    ],
)
def test_wrong_settings_are_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], changes: dict[str, Any], facts: tuple[str, ...]
) -> None:
    rows = [{"name": "small"}, {"name": "large"}]
    assert compare(tmp_path, table(**{"rows": rows, "pairs": [], **changes})) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    for fact in facts:
        assert fact in error


def test_a_finished_study_is_published_again(tmp_path: Path) -> None:
    write_result(tmp_path, "toy")
    assert compare(tmp_path) == 0
    paths = [tmp_path / f"toy_study.{suffix}" for suffix in ("json", "md", "png")]
    before = [path.read_bytes() for path in paths]
    for path in paths:
        path.unlink()
    assert compare(tmp_path) == 0
    assert [path.read_bytes() for path in paths] == before
