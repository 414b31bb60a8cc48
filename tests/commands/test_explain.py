"""`sa-tsp explain` shows how a result was made and what has changed since, and where two results first differ."""

import json
from pathlib import Path
from typing import Any

import pytest
from helpers.provenance_tree import write_output, write_tree

from pipeline.commands.explain import main
from pipeline.config.evaluate import Evaluate
from pipeline.config.pretrain_encoder import EncoderEntry
from pipeline.config.reencode import Reencode
from pipeline.io.atomic import read_json, write_json
from pipeline.provenance.code_hash import write_module_record
from pipeline.provenance.record import record_path


@pytest.fixture(autouse=True)
def work_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def scores() -> Path:
    return write_tree(Path("results/demo"))


def explain(capsys: pytest.CaptureFixture[str], *words: str | Path) -> str:
    assert main([str(word) for word in words]) == 0
    return capsys.readouterr().out


def diff(capsys: pytest.CaptureFixture[str], first: Path, second: Path) -> str:
    assert main(["--diff", str(first), str(second)]) == 1
    return capsys.readouterr().out


def test_every_file_is_shown_once(scores: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = explain(capsys, scores)
    lines = text.splitlines()
    assert lines[0] == "results/demo_test_meteor.json"
    assert sum(" build_corpus" in line and "shown above" not in line for line in lines) == 1
    corpus = [line for line in lines if "results/demo/corpus/manifest.json" in line]
    assert [line.endswith("(build_corpus, shown above)") for line in corpus] == [False, True, True]
    assert sum("results/demo/source/train.json  (external, sha256 " in line for line in lines) == 1
    assert lines[-1] == "Nothing is missing, and nothing has changed since."


def test_each_stage_is_shown_with_digest_code_hash_arguments_and_time(
    scores: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = explain(capsys, scores)
    record = read_json(record_path(Path("results/demo/encoders/sa_tsp/manifest.json")))
    assert "pretrain_encoder --seed 0\n" in text
    assert "evaluate dataset --split test\n" in text
    line = f"settings {record['config_digest']}, code {record['code']}, Python {record['python']}, {record['finished']}"
    assert line in text


def test_equal_shards_are_shown_as_one(scores: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = explain(capsys, scores)
    assert "results/demo/video/0000/manifest.json (one of 2 shards alike)" in text
    assert "video/0001" not in text
    write_output(Path("results/demo/video/0001/manifest.json"), "reencode", Reencode(crf=30), [], "--shard", "0001")
    assert "+- results/demo/video/0001/manifest.json" in explain(capsys, scores)


def test_json_lists_every_file(scores: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tree = json.loads(explain(capsys, scores, "--json"))
    assert tree["result"] == "results/demo_test_meteor.json"
    assert len(tree["files"]) == 6
    assert tree["files"]["results/demo/source/train.json"]["made_by"] is None
    video = tree["files"]["results/demo/video/0001/manifest.json"]
    assert video["made_by"]["config"]["crf"] == 16
    assert video["made_by"]["inputs"].keys() == {"results/demo/corpus/manifest.json"}
    assert not any(entry["changes"] for entry in tree["files"].values())


def test_changed_and_missing_files_are_named(scores: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("results/demo/source/train.json").write_text("a dog barks")
    Path("results/demo/encoders/sa_tsp/manifest.bin").unlink()
    Path("results/demo/video/0001/manifest.json").unlink()
    text = explain(capsys, scores)
    assert "input results/demo/source/train.json has changed: sha256 " in text
    assert "results/demo/encoders/sa_tsp/manifest.bin: missing" in text
    assert "input results/demo/video/0001/manifest.json is missing" in text
    assert "results/demo/corpus/manifest.json  [changed since]" in text


def test_a_missing_external_file_is_named(scores: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("results/demo/source/train.json").unlink()
    text = explain(capsys, scores)
    assert "train.json  (missing, without a provenance record)" in text
    assert "input results/demo/source/train.json is missing" in text


def explain_with_changed_code(scores: Path, capsys: pytest.CaptureFixture[str]) -> str:
    path = record_path(Path("results/demo/corpus/manifest.json"))
    write_json(path, read_json(path) | {"code": "0" * 16})
    return explain(capsys, scores)


def test_changed_code_is_named_by_module(scores: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "code of build_corpus has changed: 0000000000000000 -> " in explain_with_changed_code(scores, capsys)
    write_module_record("build_corpus", Path("results/.stamps"))
    [file] = Path("results/.stamps/modules").iterdir()
    modules = read_json(file)
    del modules["pipeline.datasets.assemble"]
    write_json(
        file.with_name(f"{'0' * 16}.json"), modules | {"pipeline.datasets.splits": "changed", "pipeline.old": "x"}
    )
    changes = "(pipeline.datasets.assemble (new), pipeline.datasets.splits, pipeline.old (removed))"
    assert changes in explain_with_changed_code(scores, capsys)


@pytest.mark.parametrize(
    ("change", "stage", "expected"),
    [
        ({"sentences": "a dog barks"}, "external file", "external files: sha256 "),
        ({"crf": 20}, "reencode", "settings reencode.crf: 16 -> 20"),
        (
            {"encoder": EncoderEntry(batch_size=16)},
            "pretrain_encoder",
            "settings pretrain_encoder.batch_size: 32 -> 16",
        ),
        ({"seed": 3}, "pretrain_encoder", 'argument --seed: "0" -> "3"'),
    ],
)
def test_diff_names_the_first_stage_that_differs_and_its_change(
    scores: Path, capsys: pytest.CaptureFixture[str], change: dict[str, Any], stage: str, expected: str
) -> None:
    second = write_tree(Path("results/demo_s1"), **change)
    text = diff(capsys, scores, second)
    assert text.startswith(f"They first differ in {stage}: results/demo/")
    assert text.splitlines()[1].strip().startswith(expected)
    assert "also differ" not in text, "differences that only follow are not shown"
    assert main(["--diff", "--json", str(scores), str(second)]) == 1
    [difference] = json.loads(capsys.readouterr().out)
    assert difference["stage"] == stage


def test_diff_shows_the_earlier_of_two_differences_first(scores: Path, capsys: pytest.CaptureFixture[str]) -> None:
    second = write_tree(Path("elsewhere/results/demo"), crf=20, encoder=EncoderEntry(epochs=1))
    text = diff(capsys, scores, second)
    assert text.index("They first differ in reencode: ") < text.index("they also differ")
    assert text.index("they also differ") < text.index("pretrain_encoder.epochs")
    assert "reencode: results/demo/video/0000/manifest.json | elsewhere/results/demo/video/0000/manifest.json" in text
    assert "(and 1 more)" in text


def test_diff_of_equal_results_is_empty(scores: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--diff", str(scores), str(write_tree(Path("other/demo")))]) == 0
    assert "equal, byte for byte" in capsys.readouterr().out
    assert main(["--diff", "--json", str(scores), str(scores)]) == 0
    assert json.loads(capsys.readouterr().out) == []


def test_a_difference_that_led_to_equal_bytes_is_not_shown(scores: Path, capsys: pytest.CaptureFixture[str]) -> None:
    second = write_tree(Path("other/demo"), encoder=EncoderEntry(epochs=1))
    for folder in ("results/demo", "other/demo"):
        write_output(
            Path(folder, "encoders/sa_tsp/manifest.json"), "pretrain_encoder", EncoderEntry(), [], content="the same"
        )
    inputs = [Path("results/demo/encoders/sa_tsp/manifest.json"), Path("other/demo/encoders/sa_tsp/manifest.json")]
    write_output(scores, "evaluate", Evaluate(), inputs[:1])
    write_output(second, "evaluate", Evaluate(tious=[0.5]), inputs[1:])
    text = diff(capsys, scores, second)
    assert text.startswith("They first differ in evaluate: ")
    assert "pretrain_encoder" not in text


def test_settings_of_the_machine_are_not_shown_as_differences(scores: Path, capsys: pytest.CaptureFixture[str]) -> None:
    second = write_tree(Path("other/demo"), encoder=EncoderEntry(workers=7, device="cpu"), seed=1)
    text = diff(capsys, scores, second)
    assert "workers" not in text
    assert "device" not in text


def test_another_code_hash_is_a_difference(scores: Path, capsys: pytest.CaptureFixture[str]) -> None:
    second = write_tree(Path("other/demo"), crf=16)
    path = write_output(second, "evaluate", Evaluate(), [], content="other")
    write_json(record_path(path), read_json(record_path(scores)) | {"code": "f" * 16})
    assert "-> ffffffffffffffff (no record of the modules)" in diff(capsys, scores, second)


def test_different_outputs_of_equal_inputs_are_reported(scores: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record = record_path(scores).read_bytes()
    second = write_tree(Path("other/demo"))
    write_output(second, "evaluate", Evaluate(), [], content="by chance")
    record_path(second).write_bytes(record)
    assert "outputs differ although settings, code and inputs are equal" in diff(capsys, scores, second)


def test_an_input_that_changed_after_it_was_read_is_reported(scores: Path, capsys: pytest.CaptureFixture[str]) -> None:
    second = write_tree(Path("other/demo"), seed=1)
    write_output(Path("other/demo/encoders/sa_tsp/manifest.json"), "pretrain_encoder", EncoderEntry(epochs=3), [])
    assert "input other/demo/encoders/sa_tsp/manifest.json has changed since it was read" in diff(
        capsys, scores, second
    )


def test_inputs_of_only_one_result_are_reported(scores: Path, capsys: pytest.CaptureFixture[str]) -> None:
    second = write_tree(Path("other/demo"))
    write_output(
        second, "evaluate", Evaluate(), [Path("other/demo/corpus/manifest.json")], "dataset", "--split", "test"
    )
    text = diff(capsys, scores, second)
    for name in ("encoders/sa_tsp", "video/0000", "video/0001"):
        assert f"input only of the first: results/demo/{name}/manifest.json" in text
    assert "only of the second" not in text


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["results/none.json"], "error: results/none.json: no such file"),
        (["mine.json"], "error: mine.json: no provenance record (mine.provenance.json)"),
        (["results/demo/source/train.json"], "train.provenance.json"),
        (["mine.json", "mine.json"], "error: 2 files given, 1 expected"),
        (["--diff", "results/demo_test_meteor.json"], "error: 1 files given, 2 expected"),
        (["torn.json"], "error: torn.provenance.json: not a provenance record (missing or invalid: code, config, "),
        (["cut.json"], "error: cut.provenance.json: provenance is not valid JSON"),
    ],
)
def test_explain_reports_invalid_input_in_one_line(
    scores: Path, capsys: pytest.CaptureFixture[str], words: list[str], expected: str
) -> None:
    for name in ("mine.json", "torn.json", "cut.json"):
        Path(name).write_text("{}")
    Path("torn.provenance.json").write_text('{"stage": "reencode"}')
    Path("cut.provenance.json").write_text('{"stage": ')
    assert main(words) == 2
    error = capsys.readouterr().err
    assert expected in error
    assert error.count("\n") == 1
