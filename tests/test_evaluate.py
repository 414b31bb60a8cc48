"""The evaluator's commands: scores with the evaluator's identity, and the final result of a dataset."""

import csv
import json
import os
from pathlib import Path
from typing import Any

import pytest
from helpers.evaluation_files import write_captions, write_corpus, write_references, write_shard

from pipeline.config.evaluate import Evaluate
from pipeline.config.generate_captions import GenerateCaptions
from pipeline.config.train_captioner import TrainCaptioner
from pipeline.evaluate import main
from pipeline.evaluation.localization import NAMES
from pipeline.io.atomic import sha256
from pipeline.provenance.manifest import write_manifest
from pipeline.provenance.record import record

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
    write_shard(tmp_path / "video", 1, [("v_train", "undecodable")], [("v_b", "cut_short"), ("v_other", "cut_short")])
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
            "partial": 1,
            "scored": 3,
            "predicted": {"gt": 2, "learned": 1, "control": 2},
        },
        "events": 5,
        "captions": {"gt": 3, "learned": 2, "control": 3},
        "rejects": {"empty_segment": 1, "missing": 1, "undecodable": 2},
        "partial": {"cut_short": 2},
    }

    assert got["evaluator"]["variant"] == "2021"
    assert got["evaluator"]["meteor_jar_sha256"].startswith("1e57b4c7")
    reference = Path("corpus/references/test_1.json")
    assert got["evaluator"]["references"][0] == {"file": str(reference), "sha256": sha256(reference)}

    made = got["provenance"]
    assert set(made["code"]) == {"evaluate", "generate_captions", "train_captioner"}
    assert made["seeds"]["captioners/c/7/xe/manifest.json"] == {"seed": 7}
    assert made["seeds"]["control.json"] == {"seed": 0, "control_seed": 3}
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
    from pipeline.evaluation.result import provenance

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
        ("--workers", "0", "evaluate.workers"),
        ("--tious", "1.5", "evaluate.tious"),
        ("--tious", ["0.5", "0.5"], "evaluate.tious"),
        ("--max-proposals", "0", "evaluate.max_proposals"),
        ("--timeout-s", "0", "evaluate.timeout_s"),
    ],
)
def test_settings_out_of_range_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], option: str, value: str | list[str], says: str
) -> None:
    references = write_references(tmp_path / "r.json", FIRST)
    predictions = write_captions(tmp_path / "p.json", FIRST)
    arguments = ["captions", "--predictions", str(predictions), "--references", str(references), option]
    arguments += [value] if isinstance(value, str) else value
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


def scored(tmp_path: Path, said: dict[str, list[tuple[float, float, str]]], *options: str) -> dict[str, Any]:
    """Scores of captions against both annotators."""
    references = [write_references(tmp_path / f"{number}.json", known) for number, known in ((1, FIRST), (2, SECOND))]
    predictions = write_captions(tmp_path / "said.json", said)
    inputs = ["captions", "--predictions", str(predictions), "--references", *map(str, references)]
    assert main([*inputs, "--output", str(tmp_path / "o.json"), *options]) == 0
    return json.loads((tmp_path / "o.json").read_text())


ODD = {
    "an empty sentence": "",
    "punctuation": "...!?",
    "other alphabets": "\u0427\u0435\u043b\u043e\u0432\u0435\u043a \u9a91\u9a6c na\u00efve",
    "emoji": "A man \U0001f3c7 rides \U0001f434\u200d\u2b1b",
    "line ends": "A man\nrides\r\na horse\u2028.\x00\x0c",
    "the protocol's separator": "A man ||| rides ||| SCORE ||| EVAL",
    "ten thousand words": "a man rides the horse " * 2000,
    "half a surrogate pair": "a man \ud83c rides",
}


@pytest.mark.parametrize("text", ODD.values(), ids=ODD.keys())
def test_odd_captions_have_a_score_and_move_no_other(tmp_path: Path, text: str) -> None:
    plain = scored(tmp_path, FIRST, "--bootstrap", "0", "--per-video", str(tmp_path / "plain.csv"))
    odd = scored(
        tmp_path, FIRST | {"v_b": [(0.0, 30.0, text)]}, "--bootstrap", "0", "--per-video", str(tmp_path / "odd.csv")
    )
    for metric in ("METEOR", "CIDEr", "Bleu_4", "ROUGE_L"):
        assert 0 <= odd[metric]["mean"] <= plain[metric]["mean"]
    assert odd["Recall"] == plain["Recall"]  # it has its place in time, whatever it says
    rows = [(tmp_path / name).read_text().splitlines() for name in ("plain.csv", "odd.csv")]
    assert [line for line in rows[0] if "v_b" not in line] == [line for line in rows[1] if "v_b" not in line]


def test_the_jar_gives_the_same_scores(tmp_path: Path) -> None:
    own, jar = (scored(tmp_path, ELSEWHERE, "--meteor", how) for how in ("own", "jar"))
    assert own.pop("evaluator") | {"meteor": "jar"} == jar.pop("evaluator")
    assert own == jar


def test_metrics_are_those_that_are_asked_for(tmp_path: Path) -> None:
    got = scored(tmp_path, FIRST, "--metrics", "CIDEr", "ROUGE_L", "--bootstrap", "10")
    assert {name for name in got if isinstance(got[name], dict)} == {
        *("CIDEr", "ROUGE_L", "Precision", "Recall"),
        *("diversity", "intervals", "evaluator"),
    }
    assert got["intervals"]["CIDEr"][0] <= got["CIDEr"]["mean"] <= got["intervals"]["CIDEr"][1]
    assert "10 draws" in got["intervals"]["method"]


def test_rows_of_the_videos_average_to_the_scores(tmp_path: Path) -> None:
    got = scored(tmp_path, ELSEWHERE, "--per-video", str(tmp_path / "rows.csv"))
    rows = list(csv.DictReader((tmp_path / "rows.csv").read_text().splitlines()))
    assert [row["video"] for row in rows] == ["v_a", "v_b", "v_bad", "v_gone"]
    assert [row["captions"] for row in rows] == ["2", "1", "0", "0"]
    for metric in ("METEOR", "CIDEr", "Bleu_4", "Precision"):
        assert sum(float(row[metric]) for row in rows) / 4 == pytest.approx(got[metric]["mean"], abs=1e-12)
    assert [row["SODA_c"] != "" for row in rows] == [True, True, False, False]


def test_missing_videos_are_counted_and_named_and_can_be_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = {"v_a": FIRST["v_a"], "v_b": []}
    got = scored(tmp_path, said)
    assert (got["n_videos"], got["n_predicted_videos"], got["n_missing_videos"]) == (4, 1, 3)
    assert got["Precision"]["mean"] == 1 / 4
    assert "3 of 4 videos of the references have no captions and score 0: v_b, v_bad, v_gone" in capsys.readouterr().err
    (tmp_path / "o.json").unlink()
    inputs = ["captions", "--predictions", str(tmp_path / "said.json"), "--references", str(tmp_path / "1.json")]
    says = fails(capsys, [*inputs, "--require-complete", "--output", str(tmp_path / "o.json")])
    assert "2 of 3 videos of the references have no captions (v_b, v_gone)" in says


def test_captions_of_other_videos_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    references = write_references(tmp_path / "r.json", FIRST)
    predictions = write_captions(tmp_path / "p.json", {"a": FIRST["v_a"], "b": FIRST["v_b"]})
    for command in ("captions", "paragraphs"):
        inputs = [command, "--predictions", str(predictions), "--references", str(references)]
        says = fails(capsys, [*inputs, "--output", str(tmp_path / "o.json")])
        assert "no video is in the references: captioned are a, b, the references have v_a, v_b, v_gone" in says


def test_an_annotator_of_other_videos_leaves_soda_alone(tmp_path: Path) -> None:
    elsewhere = {"v_else": [(0.0, 1.0, "Nobody was there.")]}
    references = [write_references(tmp_path / f"{n}.json", known) for n, known in ((1, FIRST), (2, elsewhere))]
    predictions = write_captions(tmp_path / "p.json", FIRST)
    inputs = ["captions", "--predictions", str(predictions), "--references", *map(str, references)]
    assert main([*inputs, "--output", str(tmp_path / "o.json")]) == 0
    got = json.loads((tmp_path / "o.json").read_text())
    assert got["SODA_c"]["F1"] == pytest.approx(1)
    assert got["intervals"]["SODA_c"] == pytest.approx([1, 1])


def test_captions_that_do_not_count_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert scored(tmp_path, FIRST, "--max-proposals", "1")["n_ignored_captions"] == 1
    assert "1 captions are not looked at" in capsys.readouterr().err


def test_what_is_new_to_the_training_captions_is_told(tmp_path: Path) -> None:
    training = write_references(tmp_path / "train.json", {"v_t": [(0.0, 1.0, "A woman swims!"), (0.0, 1.0, "Hello.")]})
    assert scored(tmp_path, FIRST, "--training", str(training))["diversity"]["novel"] == 3 / 4
    assert made_of(tmp_path)[1] == {"said.json", "1.json", "2.json", "train.json"}
    assert "novel" not in scored(tmp_path, FIRST)["diversity"]


@pytest.mark.parametrize("output", ["folder", "p.json", "p.json/below.json"])
def test_an_output_that_cannot_be_or_would_destroy_an_input_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], output: str
) -> None:
    (tmp_path / "folder").mkdir()
    references, predictions = write_references(tmp_path / "r.json", FIRST), write_captions(tmp_path / "p.json", FIRST)
    before = predictions.read_bytes()
    files = ["--predictions", str(predictions), "--references", str(references)]
    assert main(["captions", *files, "--output", str(tmp_path / output)]) == 2
    assert "error: " in capsys.readouterr().err
    assert predictions.read_bytes() == before


def test_a_byte_order_mark_is_no_error(tmp_path: Path) -> None:
    references, predictions = write_references(tmp_path / "r.json", FIRST), write_captions(tmp_path / "p.json", FIRST)
    predictions.write_text(predictions.read_text(), encoding="utf-8-sig")
    files = ["--predictions", str(predictions), "--references", str(references)]
    assert main(["captions", *files, "--output", str(tmp_path / "o.json")]) == 0


def test_a_video_that_stands_twice_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    references = write_references(tmp_path / "r.json", FIRST)
    (tmp_path / "p.json").write_text('{"version": "", "external_data": {}, "results": {"v_a": [], "v_a": []}}')
    inputs = ["captions", "--predictions", str(tmp_path / "p.json"), "--references", str(references)]
    assert "'v_a' stands twice" in fails(capsys, [*inputs, "--output", str(tmp_path / "o.json")])


def test_paragraphs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    references = [write_references(tmp_path / f"{number}.json", known) for number, known in ((1, FIRST), (2, SECOND))]
    predictions = write_captions(tmp_path / "said.json", FIRST)
    inputs = ["paragraphs", "--predictions", str(predictions), "--references", *map(str, references)]
    assert main([*inputs, "--output", str(tmp_path / "o.json")]) == 0
    got = json.loads((tmp_path / "o.json").read_text())
    assert 0.7 < got["METEOR"] < 1  # v_bad has no captions
    assert got["n_missing_videos"] == 1
    assert "variant" not in got["evaluator"]
    assert f"{100 * got['METEOR']:.2f}" in capsys.readouterr().out


TRUTH = {
    "database": {
        "a": {"subset": "validation", "annotations": [{"segment": [0, 10], "label": "Rowing"}]},
        "b": {"subset": "validation", "annotations": [{"segment": [5, 9], "label": "Chess"}]},
        "c": {"subset": "training", "annotations": []},
    }
}
FOUND: dict[str, Any] = {
    "version": "",
    "external_data": {},
    "results": {
        "v_a": [{"segment": [0, 10], "score": 0.9, "label": "Rowing"}],
        "v_b": [
            {"segment": [5, 7.4], "score": 0.9, "label": "Chess"},
            {"segment": [0, 1], "score": 1, "label": "Golf"},
        ],
    },
}


def localized(
    tmp_path: Path, command: str, *options: str, found: dict[str, list[dict[str, Any]]] = FOUND["results"]
) -> dict[str, Any]:
    for name, content in (("t.json", TRUTH), ("p.json", FOUND | {"results": found})):
        (tmp_path / name).write_text(json.dumps(content))
    files = ["--predictions", str(tmp_path / "p.json"), "--ground-truth", str(tmp_path / "t.json")]
    assert main([command, *files, "--output", str(tmp_path / "o.json"), *options]) == 0
    return json.loads((tmp_path / "o.json").read_text())


def made_of(tmp_path: Path) -> tuple[dict[str, Any], set[str]]:
    """What the provenance of the scores tells: settings and inputs."""
    made = json.loads((tmp_path / "o.provenance.json").read_text())
    assert made["stage"] == "evaluate"
    return made["config"], set(made["inputs"])


def test_proposals(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = {video: segments[:1] for video, segments in FOUND["results"].items()}
    got = localized(tmp_path, "proposals", "--all-proposals", found=found)
    assert got["n_instances"] == 2
    assert got["recall"]["1"] == pytest.approx({"0.5": 1, "0.55": 1, "0.6": 1} | dict.fromkeys(NAMES[3:], 0.5))
    assert got["evaluator"]["max_avg_nr_proposals"] is None
    assert got["zero_length_ground_truth"]["count"] == 0
    assert got["ties"]
    assert made_of(tmp_path) == ({"subset": "validation", "max_avg_nr_proposals": None}, {"t.json", "p.json"})
    assert "AR@1" in capsys.readouterr().out


def test_detections(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    got = localized(tmp_path, "detections", "--per-class")
    assert got["mAP"]["0.5"] == 1
    assert got["mAP"]["0.95"] == 0.5
    assert got["AP"]["Chess"]["0.7"] == 0
    assert got["unknown_labels"] == {"Golf": 1}
    assert made_of(tmp_path) == ({"subset": "validation", "per_class": True}, {"t.json", "p.json"})
    assert got["evaluator"]["files"][0]["sha256"] == sha256(tmp_path / "t.json")
    said = capsys.readouterr()
    assert "mAP" in said.out
    assert "Golf" in said.err


@pytest.mark.parametrize("command", ["proposals", "detections"])
def test_a_subset_that_is_not_there_is_told_with_those_that_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    localized(tmp_path, command)
    (tmp_path / "o.json").unlink()
    files = ["--predictions", str(tmp_path / "p.json"), "--ground-truth", str(tmp_path / "t.json")]
    says = fails(capsys, [command, *files, "--subset", "val", "--output", str(tmp_path / "o.json")])
    assert "no video of subset 'val'; the file has: training, validation" in says
