"""The evaluator's commands: scores with the evaluator's identity, and the final result of a dataset."""

import json
import os
from pathlib import Path

import pytest
from corpora import write_captions, write_corpus, write_references, write_shard

from pipeline.config.evaluate import Evaluate
from pipeline.config.generate_captions import GenerateCaptions
from pipeline.config.train_captioner import TrainCaptioner
from pipeline.evaluate import main
from pipeline.store.atomic import sha256
from pipeline.store.manifest import write_manifest
from pipeline.store.provenance import record

FIRST = {
    "v_a": [(0.0, 10.0, "A man rides a horse."), (10.0, 20.0, "The horse jumps over a fence.")],
    "v_b": [(0.0, 30.0, "Two dogs play in the snow.")],
    "v_gone": [(0.0, 30.0, "A woman swims.")],
}
SECOND = {"v_a": [(0.0, 20.0, "Someone is riding.")], "v_bad": [(5.0, 25.0, "A boy throws a ball.")]}
ELSEWHERE = {
    "v_a": [(0.0, 10.0, "A woman swims."), (10.0, 20.0, "Two dogs play.")],
    "v_b": [(0.0, 30.0, "He is riding.")],
}


def road(tmp_path: Path) -> list[str]:
    """A dataset with a missing and a rejected video, of which all but the scores is there."""
    videos = [("v_a", "test", True), ("v_b", "test", True), ("v_bad", "test", True), ("v_gone", "test", False)]
    corpus = write_corpus(
        tmp_path / "corpus",
        [*videos, ("v_train", "train", True)],
        {"test_1": FIRST, "test_2": SECOND},
        rejects=[("v_gone", "missing"), ("v_train", "empty_segment")],
        shards=2,
    )
    write_shard(tmp_path / "video", 0, [("v_bad", "undecodable")])
    write_shard(tmp_path / "video", 1, [("v_train", "undecodable")])
    captioner = tmp_path / "captioners/c/7/xe/manifest.json"
    write_manifest(captioner, [], {"seed": 7})
    record(captioner, "train_captioner", TrainCaptioner(features=["f"]), [corpus])
    said = {
        "gt": {video: FIRST[video] for video in ("v_a", "v_b")},
        "learned": {"v_a": [(0.0, 9.0, "A man rides."), (20.0, 30.0, "A cat sleeps.")], "v_stranger": FIRST["v_b"]},
        "control": ELSEWHERE,
    }
    sets = {name: write_captions(tmp_path / f"{name}.json", captions) for name, captions in said.items()}
    for path in sets.values():
        record(path, "generate_captions", GenerateCaptions(control_seed=3), [corpus, captioner])
    options = [part for name, path in sets.items() for part in (f"--{name}", str(path))]
    return ["road", "--corpus", str(corpus), "--videos", str(tmp_path / "video"), *options, "--split", "test"]


def test_road(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    output = Path("results/demo_test_meteor.json")
    assert main([*road(Path()), "--output", str(output)]) == 0
    got = json.loads(output.read_text())

    # v_a and v_b are perfect by the first annotator, v_bad is there but was rejected, v_gone is not there.
    assert got["Precision"]["gt"] == pytest.approx(
        {"0.3": 2 / 3, "0.5": 2 / 3, "0.7": 2 / 3, "0.9": 2 / 3, "mean": 2 / 3}
    )
    assert got["Recall"]["gt"]["mean"] == got["F1"]["gt"] == pytest.approx(2 / 3)
    assert got["Precision"]["learned"]["mean"] == pytest.approx(0.5 * 0.75 / 3)  # not at 0.9
    assert 0.6 < got["METEOR"]["gt"]["mean"] < 2 / 3
    assert 0 < got["control"]["METEOR"]["gt"]["mean"] < got["METEOR"]["gt"]["mean"]
    assert 0 < got["METEOR"]["learned"]["mean"] < got["METEOR"]["gt"]["mean"]
    assert set(got["METEOR"]) == set(got["CIDEr"]) == set(got["SODA_c"]) == {"gt", "learned"}
    assert got["intervals"]["gt"]["METEOR"][0] < got["METEOR"]["gt"]["mean"] < got["intervals"]["gt"]["METEOR"][1]
    assert got["diversity"]["learned"]["n_captions"] == 2

    assert got["counts"] == {
        "videos": {
            "listed": 4,
            "missing": 1,
            "rejected": 1,
            "scored": 3,
            "predicted": {"gt": 2, "learned": 1, "control": 2},
        },
        "events": 5,
        "captions": {"gt": 3, "learned": 2, "control": 3},
        "rejects": {"empty_segment": 1, "missing": 1, "undecodable": 2},
    }

    assert got["evaluator"]["variant"] == "2021"
    assert got["evaluator"]["meteor_jar_sha256"].startswith("1e57b4c7")
    reference = Path("corpus/references/test_1.json")
    assert got["evaluator"]["references"][0] == {"file": str(reference), "sha256": sha256(reference)}

    made = got["provenance"]
    assert set(made["code"]) == {"evaluate", "generate_captions", "train_captioner"}
    assert made["seeds"]["captioners/c/7/xe/manifest.json"] == {"seed": 7}
    assert made["seeds"]["control.json"] == {"control_seed": 3}
    (generated,) = made["stages"]["generate_captions"]
    assert generated["outputs"] == ["control.json", "gt.json", "learned.json"]
    assert generated["config"]["control_seed"] == 3
    assert generated["config_digest"] == GenerateCaptions(control_seed=3).digest()
    assert made["sources"]["video/0001/manifest.json"] == sha256(Path("video/0001/manifest.json"))
    assert "torch" in made["libraries"]
    assert (output.parent / "demo_test_meteor.provenance.json").is_file()

    said = capsys.readouterr()
    table = {line.split("  ")[0]: line.split("   ")[-2].split()[-1] for line in said.out.splitlines()}
    assert table["gt Precision"] == table["gt F1"] == "66.67"
    assert table["control METEOR"] == f"{100 * got['control']['METEOR']['gt']['mean']:.2f}"
    assert "v_stranger" in said.err


def test_other_settings_give_another_digest(tmp_path: Path) -> None:
    from pipeline.metrics.result import provenance

    one, other = (provenance(Evaluate(variant=variant), [])["config_digest"] for variant in ("2018", "2021"))
    assert one != other


def test_captions(tmp_path: Path) -> None:
    references = [write_references(tmp_path / f"{number}.json", known) for number, known in ((1, FIRST), (2, SECOND))]
    predictions = write_captions(tmp_path / "said.json", FIRST)
    output = tmp_path / "scores.json"
    inputs = ["captions", "--predictions", str(predictions), "--references", *map(str, references)]
    assert (
        main([*inputs, "--variant", "2018", "--tious", "0.5", "0.95", "--max-proposals", "1", "--output", str(output)])
        == 0
    )
    got = json.loads(output.read_text())
    assert list(got["METEOR"]) == ["0.5", "0.95", "mean"]
    # The second half of v_a is cut off, v_bad has no captions; two videos of four are perfect by the first annotator.
    assert got["Precision"]["0.95"] == pytest.approx(3 / 4)
    assert got["Recall"]["0.95"] == pytest.approx(2.5 / 4)
    assert got["METEOR"]["0.95"] == pytest.approx(3 / 4)
    assert (got["n_videos"], got["n_predicted_videos"], got["n_captions"], got["n_unknown_videos"]) == (4, 3, 3, 0)
    evaluator = got["evaluator"]
    assert (evaluator["variant"], evaluator["tious"], evaluator["max_proposals"]) == ("2018", [0.5, 0.95], 1)
    assert evaluator["java"]
    assert evaluator["pycocoevalcap"]
    assert [reference["file"] for reference in evaluator["references"]] == [path.as_posix() for path in references]
    inputs_said = json.loads((tmp_path / "scores.provenance.json").read_text())["inputs"]
    assert set(inputs_said) == {"said.json", "1.json", "2.json"}


def fails(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> str:
    """What is said of a command that the user got wrong; it writes nothing."""
    output = arguments[arguments.index("--output") + 1]
    assert main(arguments) == 2
    assert not os.path.exists(output)  # noqa: PTH110
    return capsys.readouterr().err


def test_a_split_without_videos_to_score_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = road(tmp_path)
    arguments[arguments.index("test", 1)] = "val"
    assert "no video of split val" in fails(capsys, [*arguments, "--output", str(tmp_path / "o.json")])


def test_a_split_whose_files_are_all_missing_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = road(tmp_path)
    write_corpus(tmp_path / "corpus", [("v_a", "test", False)], {"test_1": {"v_a": FIRST["v_a"]}})
    assert "no video of split test" in fails(capsys, [*arguments, "--output", str(tmp_path / "o.json")])


def test_an_absent_shard_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = road(tmp_path)
    (tmp_path / "video/0001/manifest.json").unlink()
    assert "0001/manifest.json" in fails(capsys, [*arguments, "--output", str(tmp_path / "o.json")])


@pytest.mark.parametrize(
    ("option", "value", "says"),
    [
        ("--variant", "2019", "evaluate.variant"),
        ("--tious", "1.5", "evaluate.tious"),
        ("--max-proposals", "0", "evaluate.max_proposals"),
    ],
)
def test_settings_out_of_range_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], option: str, value: str, says: str
) -> None:
    references = write_references(tmp_path / "r.json", FIRST)
    predictions = write_captions(tmp_path / "p.json", FIRST)
    arguments = ["captions", "--predictions", str(predictions), "--references", str(references), option, value]
    assert says in fails(capsys, [*arguments, "--output", str(tmp_path / "o.json")])


@pytest.mark.parametrize("broken", ["p.json", "r.json"])
def test_a_file_that_is_cut_short_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str], broken: str) -> None:
    references = write_references(tmp_path / "r.json", FIRST)
    predictions = write_captions(tmp_path / "p.json", FIRST)
    (tmp_path / broken).write_text((tmp_path / broken).read_text()[:-20])
    arguments = ["captions", "--predictions", str(predictions), "--references", str(references)]
    said = fails(capsys, [*arguments, "--output", str(tmp_path / "o.json")])
    assert broken in said
    assert "not valid JSON" in said
