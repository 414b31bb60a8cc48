"""The way to a result is told once, whole, with what is not as it was; two ways are told apart where they part."""

import json
from pathlib import Path
from typing import Any

import pytest
from helpers.provenance_tree import made, road

from pipeline.commands.explain import main
from pipeline.config.evaluate import Evaluate
from pipeline.config.pretrain_encoder import PretrainEncoder
from pipeline.config.reencode import Reencode
from pipeline.io.atomic import read_json, write_json
from pipeline.provenance.modules import keep_modules
from pipeline.provenance.record import beside


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def scores() -> Path:
    return road(Path("results/demo"))


def explained(capsys: pytest.CaptureFixture[str], *words: str | Path) -> str:
    assert main([str(word) for word in words]) == 0
    return capsys.readouterr().out


def diff(capsys: pytest.CaptureFixture[str], first: Path, second: Path) -> str:
    assert main(["--diff", str(first), str(second)]) == 1
    return capsys.readouterr().out


def test_every_file_is_told_once_and_then_referred_to(scores: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = explained(capsys, scores)
    lines = text.splitlines()
    assert lines[0] == "results/demo_test_meteor.json"
    assert sum(" build_corpus" in line and "told above" not in line for line in lines) == 1
    corpus = [line for line in lines if "results/demo/corpus/manifest.json" in line]
    assert [line.endswith("(build_corpus, told above)") for line in corpus] == [False, True, True]
    assert sum("results/demo/source/train.json  (given, sha256 " in line for line in lines) == 1
    assert lines[-1] == "Nothing is missing, nothing has changed since."


def test_each_stage_comes_with_its_digest_stamp_arguments_and_time(
    scores: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = explained(capsys, scores)
    record = read_json(beside(Path("results/demo/encoders/sa_tsp/manifest.json")))
    assert "pretrain_encoder --seed 0\n" in text
    assert "evaluate road --split test\n" in text
    said = f"settings {record['config_digest']}, code {record['code']}, Python {record['python']}, {record['finished']}"
    assert said in text


def test_shards_that_are_alike_are_told_as_one(scores: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = explained(capsys, scores)
    assert "results/demo/video/0000/manifest.json (one of 2 shards alike)" in text
    assert "video/0001" not in text
    made(Path("results/demo/video/0001/manifest.json"), "reencode", Reencode(crf=30), [], "--shard", "0001")
    assert "+- results/demo/video/0001/manifest.json" in explained(capsys, scores)


def test_as_json_every_file_stands_alone(scores: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = json.loads(explained(capsys, scores, "--json"))
    assert found["result"] == "results/demo_test_meteor.json"
    assert len(found["files"]) == 6
    assert found["files"]["results/demo/source/train.json"]["made_by"] is None
    video = found["files"]["results/demo/video/0001/manifest.json"]
    assert video["made_by"]["config"]["crf"] == 16
    assert video["made_by"]["inputs"].keys() == {"results/demo/corpus/manifest.json"}
    assert not any(entry["not_as_it_was"] for entry in found["files"].values())


def test_what_changed_or_vanished_since_is_named(scores: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("results/demo/source/train.json").write_text("a dog barks")
    Path("results/demo/encoders/sa_tsp/manifest.bin").unlink()
    Path("results/demo/video/0001/manifest.json").unlink()
    text = explained(capsys, scores)
    assert "input results/demo/source/train.json has changed since: sha256 was " in text
    assert "results/demo/encoders/sa_tsp/manifest.bin: listed in" in text
    assert "input results/demo/video/0001/manifest.json is missing" in text
    assert "results/demo/corpus/manifest.json  [not as it was]" in text


def test_a_given_file_that_is_gone_is_named(scores: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("results/demo/source/train.json").unlink()
    text = explained(capsys, scores)
    assert "train.json  (missing, and nothing tells how it was made)" in text
    assert "input results/demo/source/train.json is missing" in text


def told_of_other_code(scores: Path, capsys: pytest.CaptureFixture[str]) -> str:
    path = beside(Path("results/demo/corpus/manifest.json"))
    write_json(path, read_json(path) | {"code": "0" * 16})
    return explained(capsys, scores)


def test_code_that_changed_since_is_named_by_module(scores: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "code of build_corpus has changed since: 0000000000000000 -> " in told_of_other_code(scores, capsys)
    keep_modules("build_corpus", Path("results/.stamps"))
    [kept] = Path("results/.stamps/modules").iterdir()
    modules = read_json(kept)
    del modules["pipeline.datasets.assemble"]
    write_json(
        kept.with_name(f"{'0' * 16}.json"), modules | {"pipeline.datasets.splits": "changed", "pipeline.old": "x"}
    )
    said = "(pipeline.datasets.assemble (new), pipeline.datasets.splits, pipeline.old (gone))"
    assert said in told_of_other_code(scores, capsys)


@pytest.mark.parametrize(
    ("change", "stage", "said"),
    [
        ({"sentences": "a dog barks"}, "given", "given files: sha256 "),
        ({"crf": 20}, "reencode", "settings reencode.crf: 16 -> 20"),
        ({"encoder": PretrainEncoder(alpha=0.5)}, "pretrain_encoder", "settings pretrain_encoder.alpha: 1.0 -> 0.5"),
        ({"seed": 3}, "pretrain_encoder", 'argument --seed: "0" -> "3"'),
    ],
)
def test_the_first_stage_that_differs_is_named_and_what_differs_there(
    scores: Path, capsys: pytest.CaptureFixture[str], change: dict[str, Any], stage: str, said: str
) -> None:
    other = road(Path("results/demo_s1"), **change)
    text = diff(capsys, scores, other)
    assert text.startswith(f"They first differ in {stage}: results/demo/")
    assert text.splitlines()[1].strip().startswith(said)
    assert "also differ" not in text, "what only follows is not told"
    assert main(["--diff", "--json", str(scores), str(other)]) == 1
    [found] = json.loads(capsys.readouterr().out)
    assert found["stage"] == stage


def test_the_earlier_of_two_differences_comes_first(scores: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = road(Path("elsewhere/results/demo"), crf=20, encoder=PretrainEncoder(epochs=1))
    text = diff(capsys, scores, other)
    assert text.index("They first differ in reencode: ") < text.index("They also differ")
    assert text.index("They also differ") < text.index("pretrain_encoder.epochs")
    assert "reencode: results/demo/video/0000/manifest.json | elsewhere/results/demo/video/0000/manifest.json" in text
    assert "(and 1 more)" in text


def test_equal_results_do_not_differ_whatever_lies_behind_them(
    scores: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--diff", str(scores), str(road(Path("other/demo")))]) == 0
    assert "equal, byte for byte" in capsys.readouterr().out
    assert main(["--diff", "--json", str(scores), str(scores)]) == 0
    assert json.loads(capsys.readouterr().out) == []


def test_a_difference_that_led_to_equal_bytes_is_none(scores: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = road(Path("other/demo"), encoder=PretrainEncoder(epochs=1))
    for folder in ("results/demo", "other/demo"):
        made(Path(folder, "encoders/sa_tsp/manifest.json"), "pretrain_encoder", PretrainEncoder(), [], holds="the same")
    inputs = [Path("results/demo/encoders/sa_tsp/manifest.json"), Path("other/demo/encoders/sa_tsp/manifest.json")]
    made(scores, "evaluate", Evaluate(), inputs[:1])
    made(other, "evaluate", Evaluate(tious=[0.5]), inputs[1:])
    text = diff(capsys, scores, other)
    assert text.startswith("They first differ in evaluate: ")
    assert "pretrain_encoder" not in text


def test_settings_of_the_machine_are_no_difference(scores: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = road(Path("other/demo"), encoder=PretrainEncoder(workers=7, device="cpu"), seed=1)
    text = diff(capsys, scores, other)
    assert "workers" not in text
    assert "device" not in text


def test_other_code_is_a_difference(scores: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = road(Path("other/demo"), crf=16)
    path = made(other, "evaluate", Evaluate(), [], holds="other")
    write_json(beside(path), read_json(beside(scores)) | {"code": "f" * 16})
    assert "-> ffffffffffffffff (which module is not noted)" in diff(capsys, scores, other)


def test_equal_ways_to_unequal_bytes_are_told(scores: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record = beside(scores).read_bytes()
    other = road(Path("other/demo"))
    made(other, "evaluate", Evaluate(), [], holds="by chance")
    beside(other).write_bytes(record)
    assert "made by equal settings and code from equal inputs, yet not equal" in diff(capsys, scores, other)


def test_an_input_that_was_made_anew_is_told(scores: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = road(Path("other/demo"), seed=1)
    made(Path("other/demo/encoders/sa_tsp/manifest.json"), "pretrain_encoder", PretrainEncoder(epochs=3), [])
    assert "input other/demo/encoders/sa_tsp/manifest.json was made anew since it was read" in diff(
        capsys, scores, other
    )


def test_an_input_that_one_has_alone_is_told(scores: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = road(Path("other/demo"))
    made(other, "evaluate", Evaluate(), [Path("other/demo/corpus/manifest.json")], "road", "--split", "test")
    text = diff(capsys, scores, other)
    for name in ("encoders/sa_tsp", "video/0000", "video/0001"):
        assert f"input of the first alone: results/demo/{name}/manifest.json" in text
    assert "of the second alone" not in text


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["results/none.json"], "error: results/none.json: no such file"),
        (["mine.json"], "error: mine.json: is no result of a stage, or was not made here: mine.provenance.json"),
        (["results/demo/source/train.json"], "train.provenance.json is not beside it"),
        (["mine.json", "mine.json"], "error: 2 files are given; name one"),
        (["--diff", "results/demo_test_meteor.json"], "error: 1 files are given; --diff takes two"),
        (["torn.json"], "error: torn.provenance.json: not a provenance record (lacks code, config, "),
        (["cut.json"], "error: cut.provenance.json: provenance is not valid JSON"),
    ],
)
def test_what_cannot_be_told_is_one_plain_line(
    scores: Path, capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    for name in ("mine.json", "torn.json", "cut.json"):
        Path(name).write_text("{}")
    Path("torn.provenance.json").write_text('{"stage": "reencode"}')
    Path("cut.provenance.json").write_text('{"stage": ')
    assert main(words) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
