"""The sub-commands of `evaluate`: scores, the evaluator's identity, scores per video, the final result of a dataset."""

import csv
import json
import os
from pathlib import Path
from typing import Any

import pytest
from helpers.evaluation_files import write_captions, write_corpus, write_references, write_shard

from pipeline.config.evaluate import Evaluate
from pipeline.config.generate_captions import GenerateCaptions
from pipeline.config.train_captioner import CaptionerEntry
from pipeline.evaluate import main
from pipeline.evaluation.dataset_result import trace_provenance
from pipeline.evaluation.segments import TIOU_NAMES
from pipeline.io.atomic import sha256
from pipeline.provenance.manifest import write_manifest
from pipeline.provenance.record import write_record

FIRST = {
    "v_a": [(0.0, 10.0, "A man rides a horse."), (10.0, 20.0, "The horse jumps over a fence.")],
    "v_b": [(0.0, 30.0, "Two dogs play in the snow.")],
    "v_gone": [(0.0, 30.0, "A woman swims.")],
}
SECOND = {"v_a": [(0.0, 20.0, "Someone is riding.")], "v_bad": [(5.0, 25.0, "A boy throws a ball.")]}
OTHERS = {
    "v_a": [(0.0, 10.0, "A woman swims."), (10.0, 20.0, "Two dogs play.")],
    "v_b": [(0.0, 30.0, "He is riding.")],
}


def write_annotators(tmp_path: Path) -> list[Path]:
    """Write the reference files of both annotators."""
    return [write_references(tmp_path / "1.json", FIRST), write_references(tmp_path / "2.json", SECOND)]


def dataset_arguments(tmp_path: Path) -> list[str]:
    """Write a dataset with a missing and a rejected video, and return the arguments that score it."""
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
    write_record(captioner, "train_captioner", CaptionerEntry(features=["f"]), [corpus])
    captions = {
        "gt": {video: FIRST[video] for video in ("v_a", "v_b")},
        "learned": {"v_a": [(0.0, 9.0, "A man rides."), (20.0, 30.0, "A cat sleeps.")], "v_unknown": FIRST["v_b"]},
        "control": OTHERS,
    }
    sets = {name: write_captions(tmp_path / f"{name}.json", events) for name, events in captions.items()}
    for path in sets.values():
        write_record(path, "generate_captions", GenerateCaptions(control_seed=3), [corpus, captioner])
    options = [part for name, path in sets.items() for part in (f"--{name}", str(path))]
    return ["dataset", "--corpus", str(corpus), "--videos", str(tmp_path / "video"), *options, "--split", "test"]


def test_evaluate_dataset_writes_scores_counts_and_provenance(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    output = Path("results/demo_test_meteor.json")
    assert main([*dataset_arguments(Path()), "--output", str(output)]) == 0
    got = json.loads(output.read_text())

    # v_a and v_b are perfect by the first annotator, v_bad has a file but was rejected, v_gone has no file.
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

    provenance = got["provenance"]
    assert set(provenance["code"]) == {"evaluate", "generate_captions", "train_captioner"}
    assert provenance["seeds"]["captioners/c/7/xe/manifest.json"] == {"seed": 7}
    assert provenance["seeds"]["control.json"] == {"seed": 0, "control_seed": 3}
    (generated,) = provenance["stages"]["generate_captions"]
    assert generated["outputs"] == ["control.json", "gt.json", "learned.json"]
    assert generated["config"]["control_seed"] == 3
    assert generated["config_digest"] == GenerateCaptions(control_seed=3).digest()
    assert provenance["sources"]["video/0001/manifest.json"] == sha256(Path("video/0001/manifest.json"))
    assert "torch" in provenance["libraries"]
    assert (output.parent / "demo_test_meteor.provenance.json").is_file()

    printed = capsys.readouterr()
    table = {line.split("  ")[0]: line.split("   ")[-2].split()[-1] for line in printed.out.splitlines()}
    assert table["gt Precision"] == table["gt F1"] == "66.67"
    assert table["control METEOR"] == f"{100 * got['control']['METEOR']['gt']['mean']:.2f}"
    assert "v_unknown" in printed.err

    assert set(got["per_video"]) == {"gt", "learned", "control"}
    for name in ("gt", "learned"):
        columns = got["per_video"][name]
        assert columns["video"] == ["v_a", "v_b", "v_bad"]
        for metric in ("METEOR", "CIDEr", "Precision", "Recall"):
            assert sum(columns[metric]) / 3 == pytest.approx(got[metric][name]["mean"], abs=1e-12)
    assert got["per_video"]["gt"]["n_captions"] == [2, 1, 0]
    assert got["per_video"]["gt"]["SODA_c"][2] is None


def test_trace_provenance_has_another_config_digest_for_other_settings() -> None:
    first, second = (trace_provenance(Evaluate(variant=variant), [])["config_digest"] for variant in ("2018", "2021"))
    assert first != second


def test_evaluate_captions_writes_scores_counts_and_evaluator(tmp_path: Path) -> None:
    references = write_annotators(tmp_path)
    predictions = write_captions(tmp_path / "captions.json", FIRST)
    output = tmp_path / "scores.json"
    inputs = ["captions", "--predictions", str(predictions), "--references", *map(str, references)]
    assert (
        main([*inputs, "--variant", "2018", "--tious", "0.5", "0.95", "--max-proposals", "1", "--output", str(output)])
        == 0
    )
    got = json.loads(output.read_text())
    assert list(got["METEOR"]) == ["0.5", "0.95", "mean"]
    # v_a has lost its second caption, v_bad has none; two videos of four are perfect by the first annotator.
    assert got["Precision"]["0.95"] == pytest.approx(3 / 4)
    assert got["Recall"]["0.95"] == pytest.approx(2.5 / 4)
    assert got["METEOR"]["0.95"] == pytest.approx(3 / 4)
    assert (got["n_videos"], got["n_predicted_videos"], got["n_captions"], got["n_unknown_videos"]) == (4, 3, 3, 0)
    evaluator = got["evaluator"]
    assert (evaluator["variant"], evaluator["tious"], evaluator["max_proposals"]) == ("2018", [0.5, 0.95], 1)
    assert evaluator["java"]
    assert evaluator["pycocoevalcap"]
    assert [reference["file"] for reference in evaluator["references"]] == [path.as_posix() for path in references]
    inputs = json.loads((tmp_path / "scores.provenance.json").read_text())["inputs"]
    assert set(inputs) == {"captions.json", "1.json", "2.json"}


def error_of(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> str:
    """Run a command that must fail and write nothing; return its error."""
    output = arguments[arguments.index("--output") + 1]
    assert main(arguments) == 2
    assert not os.path.exists(output)  # noqa: PTH110
    return capsys.readouterr().err


def test_evaluate_dataset_refuses_a_split_without_videos(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = dataset_arguments(tmp_path)
    arguments[arguments.index("test", 1)] = "val"
    assert "no video of split val" in error_of(capsys, [*arguments, "--output", str(tmp_path / "o.json")])


def test_evaluate_dataset_refuses_a_split_whose_files_are_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = dataset_arguments(tmp_path)
    write_corpus(tmp_path / "corpus", [("v_a", "test", False)], {"test_1": {"v_a": FIRST["v_a"]}})
    assert "no video of split test" in error_of(capsys, [*arguments, "--output", str(tmp_path / "o.json")])


def test_evaluate_dataset_names_a_missing_shard(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = dataset_arguments(tmp_path)
    (tmp_path / "video/0001/manifest.json").unlink()
    assert "0001/manifest.json" in error_of(capsys, [*arguments, "--output", str(tmp_path / "o.json")])


@pytest.mark.parametrize(
    ("option", "value", "key"),
    [
        ("--workers", "0", "evaluate.workers"),
        ("--tious", "1.5", "evaluate.tious"),
        ("--tious", ["0.5", "0.5"], "evaluate.tious"),
        ("--max-proposals", "0", "evaluate.max_proposals"),
        ("--timeout-s", "0", "evaluate.timeout_s"),
    ],
)
def test_evaluate_names_settings_out_of_range(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], option: str, value: str | list[str], key: str
) -> None:
    references = write_references(tmp_path / "r.json", FIRST)
    predictions = write_captions(tmp_path / "p.json", FIRST)
    arguments = ["captions", "--predictions", str(predictions), "--references", str(references), option]
    arguments += [value] if isinstance(value, str) else value
    assert key in error_of(capsys, [*arguments, "--output", str(tmp_path / "o.json")])


@pytest.mark.parametrize("broken", ["p.json", "r.json"])
def test_evaluate_names_a_truncated_file(tmp_path: Path, capsys: pytest.CaptureFixture[str], broken: str) -> None:
    references = write_references(tmp_path / "r.json", FIRST)
    predictions = write_captions(tmp_path / "p.json", FIRST)
    (tmp_path / broken).write_text((tmp_path / broken).read_text()[:-20])
    arguments = ["captions", "--predictions", str(predictions), "--references", str(references)]
    error = error_of(capsys, [*arguments, "--output", str(tmp_path / "o.json")])
    assert broken in error
    assert "not valid JSON" in error


WITHOUT_METEOR = ("--metrics", "ROUGE_L")
"""For tests in which the metrics are not the point: METEOR starts Java twice."""


def score(tmp_path: Path, captions: dict[str, list[tuple[float, float, str]]], *options: str) -> dict[str, Any]:
    """Score captions against both annotators."""
    references = write_annotators(tmp_path)
    predictions = write_captions(tmp_path / "captions.json", captions)
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
    "a thousand words": "a man rides the horse " * 200,
    "half a surrogate pair": "a man \ud83c rides",
}
TEN_THOUSAND_WORDS = pytest.param("a man rides the horse " * 2000, id="ten thousand words", marks=pytest.mark.campaign)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], list[str]]:
    """Score the captions of the first annotator: the result, and the lines of the table of videos."""
    folder = tmp_path_factory.mktemp("plain")
    scores = score(folder, FIRST, "--bootstrap", "0", "--per-video", str(folder / "rows.csv"))
    return scores, (folder / "rows.csv").read_text().splitlines()


@pytest.mark.parametrize("text", [*(pytest.param(text, id=name) for name, text in ODD.items()), TEN_THOUSAND_WORDS])
def test_odd_captions_have_a_score_and_change_no_other(
    tmp_path: Path, text: str, plain: tuple[dict[str, Any], list[str]]
) -> None:
    table = tmp_path / "rows.csv"
    odd = score(tmp_path, FIRST | {"v_b": [(0.0, 30.0, text)]}, "--bootstrap", "0", "--per-video", str(table))
    scores, rows = plain
    for metric in ("METEOR", "CIDEr", "Bleu_4", "ROUGE_L"):
        assert 0 <= odd[metric]["mean"] <= scores[metric]["mean"]
    assert odd["Recall"] == scores["Recall"]  # the localization does not depend on the text
    odd_rows = table.read_text().splitlines()
    assert [line for line in rows if "v_b" not in line] == [line for line in odd_rows if "v_b" not in line]


def test_evaluate_captions_computes_the_selected_metrics(tmp_path: Path) -> None:
    got = score(tmp_path, FIRST, "--metrics", "CIDEr", "ROUGE_L", "--bootstrap", "10")
    assert {name for name in got if isinstance(got[name], dict)} == {
        *("CIDEr", "ROUGE_L", "Precision", "Recall"),
        *("diversity", "intervals", "evaluator", "per_video"),
    }
    assert got["intervals"]["CIDEr"][0] <= got["CIDEr"]["mean"] <= got["intervals"]["CIDEr"][1]
    assert "10 draws" in got["intervals"]["method"]


def test_per_video_scores_average_to_the_scores(tmp_path: Path) -> None:
    got = score(tmp_path, OTHERS, "--per-video", str(tmp_path / "rows.csv"))
    rows = list(csv.DictReader((tmp_path / "rows.csv").read_text().splitlines()))
    assert [row["video"] for row in rows] == ["v_a", "v_b", "v_bad", "v_gone"]
    assert [row["n_captions"] for row in rows] == ["2", "1", "0", "0"]
    for metric in ("METEOR", "CIDEr", "Bleu_4", "Precision"):
        assert sum(float(row[metric]) for row in rows) / 4 == pytest.approx(got[metric]["mean"], abs=1e-12)
    assert [row["SODA_c"] != "" for row in rows] == [True, True, False, False]
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    assert list(columns) == list(got["per_video"])
    for name, values in got["per_video"].items():
        assert ["" if value is None else str(value) for value in values] == columns[name]


def test_missing_videos_are_counted_named_and_refused_with_require_complete(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    got = score(tmp_path, {"v_a": FIRST["v_a"], "v_b": []}, *WITHOUT_METEOR)
    assert (got["n_videos"], got["n_predicted_videos"], got["n_missing_videos"]) == (4, 1, 3)
    assert got["Precision"]["mean"] == 1 / 4
    warning = capsys.readouterr().err
    assert "3 of 4" in warning
    assert "v_b, v_bad, v_gone" in warning
    (tmp_path / "o.json").unlink()
    inputs = ["captions", "--predictions", str(tmp_path / "captions.json"), "--references", str(tmp_path / "1.json")]
    error = error_of(capsys, [*inputs, "--require-complete", "--output", str(tmp_path / "o.json")])
    assert "2 of 3" in error
    assert "v_b, v_gone" in error


def test_captions_of_other_videos_only_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    references = write_references(tmp_path / "r.json", FIRST)
    predictions = write_captions(tmp_path / "p.json", {"a": FIRST["v_a"], "b": FIRST["v_b"]})
    for command in ("captions", "paragraphs"):
        inputs = [command, "--predictions", str(predictions), "--references", str(references)]
        error = error_of(capsys, [*inputs, "--output", str(tmp_path / "o.json")])
        assert "p.json: no video is in the references" in error
        assert "a, b," in error
        assert "v_a, v_b, v_gone" in error


def test_soda_c_ignores_an_annotator_of_other_videos(tmp_path: Path) -> None:
    elsewhere = {"v_else": [(0.0, 1.0, "Nobody was there.")]}
    references = [write_references(tmp_path / f"{n}.json", annotator) for n, annotator in ((1, FIRST), (2, elsewhere))]
    predictions = write_captions(tmp_path / "p.json", FIRST)
    inputs = ["captions", "--predictions", str(predictions), "--references", *map(str, references)]
    assert main([*inputs, "--metrics", "SODA_c", "--output", str(tmp_path / "o.json")]) == 0
    got = json.loads((tmp_path / "o.json").read_text())
    assert got["SODA_c"]["F1"] == pytest.approx(1)
    assert got["intervals"]["SODA_c"] == pytest.approx([1, 1])


def test_captions_beyond_max_proposals_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert score(tmp_path, FIRST, "--max-proposals", "1", *WITHOUT_METEOR)["n_ignored_captions"] == 1
    assert "1 captions" in capsys.readouterr().err


def test_training_captions_give_the_share_of_novel_captions(tmp_path: Path) -> None:
    training = write_references(tmp_path / "train.json", {"v_t": [(0.0, 1.0, "A woman swims!"), (0.0, 1.0, "Hello.")]})
    got = score(tmp_path, FIRST, "--training", str(training), *WITHOUT_METEOR)
    assert got["diversity"]["novel"] == 3 / 4
    assert recorded(tmp_path)[1] == {"captions.json", "1.json", "2.json", "train.json"}
    assert "novel" not in score(tmp_path, FIRST, *WITHOUT_METEOR)["diversity"]


@pytest.mark.parametrize("output", ["folder", "p.json", "p.json/below.json"])
def test_an_output_that_is_a_folder_or_an_input_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], output: str
) -> None:
    (tmp_path / "folder").mkdir()
    references, predictions = write_references(tmp_path / "r.json", FIRST), write_captions(tmp_path / "p.json", FIRST)
    before = predictions.read_bytes()
    files = ["--predictions", str(predictions), "--references", str(references)]
    assert main(["captions", *files, "--output", str(tmp_path / output), *WITHOUT_METEOR]) == 2
    assert "error: " in capsys.readouterr().err
    assert predictions.read_bytes() == before


def test_evaluate_accepts_a_byte_order_mark(tmp_path: Path) -> None:
    references, predictions = write_references(tmp_path / "r.json", FIRST), write_captions(tmp_path / "p.json", FIRST)
    predictions.write_text(predictions.read_text(), encoding="utf-8-sig")
    files = ["--predictions", str(predictions), "--references", str(references)]
    assert main(["captions", *files, "--output", str(tmp_path / "o.json"), *WITHOUT_METEOR]) == 0


def test_evaluate_refuses_a_duplicate_video(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    references = write_references(tmp_path / "r.json", FIRST)
    (tmp_path / "p.json").write_text('{"version": "", "external_data": {}, "results": {"v_a": [], "v_a": []}}')
    inputs = ["captions", "--predictions", str(tmp_path / "p.json"), "--references", str(references)]
    assert "'v_a' occurs twice" in error_of(capsys, [*inputs, "--output", str(tmp_path / "o.json")])


def test_evaluate_paragraphs_writes_the_scores(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    references = write_annotators(tmp_path)
    predictions = write_captions(tmp_path / "captions.json", FIRST)
    inputs = ["paragraphs", "--predictions", str(predictions), "--references", *map(str, references)]
    assert main([*inputs, "--output", str(tmp_path / "o.json")]) == 0
    got = json.loads((tmp_path / "o.json").read_text())
    assert 0.7 < got["METEOR"] < 1  # v_bad has no captions
    assert got["n_missing_videos"] == 1
    assert "variant" not in got["evaluator"]
    assert f"{100 * got['METEOR']:.2f}" in capsys.readouterr().out


GROUND_TRUTH = {
    "database": {
        "a": {"subset": "validation", "annotations": [{"segment": [0, 10], "label": "Rowing"}]},
        "b": {"subset": "validation", "annotations": [{"segment": [5, 9], "label": "Chess"}]},
        "c": {"subset": "training", "annotations": []},
    }
}
SEGMENTS: dict[str, Any] = {
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


def score_segments(
    tmp_path: Path, command: str, *options: str, results: dict[str, list[dict[str, Any]]] = SEGMENTS["results"]
) -> dict[str, Any]:
    """Score segments against the ground truth."""
    for name, content in (("t.json", GROUND_TRUTH), ("p.json", SEGMENTS | {"results": results})):
        (tmp_path / name).write_text(json.dumps(content))
    files = ["--predictions", str(tmp_path / "p.json"), "--ground-truth", str(tmp_path / "t.json")]
    assert main([command, *files, "--output", str(tmp_path / "o.json"), *options]) == 0
    return json.loads((tmp_path / "o.json").read_text())


def recorded(tmp_path: Path) -> tuple[dict[str, Any], set[str]]:
    """Return the settings and the inputs in the provenance record of the scores."""
    record = json.loads((tmp_path / "o.provenance.json").read_text())
    assert record["stage"] == "evaluate"
    return record["config"], set(record["inputs"])


def test_evaluate_proposals_writes_recall_and_rules(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    results = {video: segments[:1] for video, segments in SEGMENTS["results"].items()}
    got = score_segments(tmp_path, "proposals", "--max-avg-nr-proposals", "null", results=results)
    assert got["n_instances"] == 2
    assert got["recall"]["1"] == pytest.approx({"0.5": 1, "0.55": 1, "0.6": 1} | dict.fromkeys(TIOU_NAMES[3:], 0.5))
    assert got["evaluator"]["max_avg_nr_proposals"] is None
    assert got["zero_length_ground_truth"]["count"] == 0
    assert got["ties"]
    assert recorded(tmp_path) == ({"subset": "validation", "max_avg_nr_proposals": None}, {"t.json", "p.json"})
    assert got["per_video"]["video"] == ["a", "b"]
    assert got["per_video"]["AR@1"] == pytest.approx([1, 0.3])
    assert "AR@1" in capsys.readouterr().out


def test_evaluate_detections_writes_map_and_unknown_labels(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    got = score_segments(tmp_path, "detections", "--per-class")
    assert got["mAP"]["0.5"] == 1
    assert got["mAP"]["0.95"] == 0.5
    assert got["AP"]["Chess"]["0.7"] == 0
    assert got["unknown_labels"] == {"Golf": 1}
    tious = [0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95]
    settings = {"subset": "validation", "tious": tious, "per_class": True}
    assert recorded(tmp_path) == (settings, {"t.json", "p.json"})
    assert got["evaluator"]["files"][0]["sha256"] == sha256(tmp_path / "t.json")
    assert got["per_video"]["recall"] == pytest.approx([1, 0.3])
    printed = capsys.readouterr()
    assert "mAP" in printed.out
    assert "Golf" in printed.err


@pytest.mark.parametrize("command", ["proposals", "detections"])
def test_evaluate_names_the_subsets_of_the_file_if_one_is_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    score_segments(tmp_path, command)
    (tmp_path / "o.json").unlink()
    files = ["--predictions", str(tmp_path / "p.json"), "--ground-truth", str(tmp_path / "t.json")]
    error = error_of(capsys, [command, *files, "--subset", "val", "--output", str(tmp_path / "o.json")])
    assert "'val'" in error
    assert "training, validation" in error


@pytest.mark.parametrize("sub_command", ["captions", "paragraphs"])
def test_a_note_on_cider_is_in_the_result_and_on_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], sub_command: str
) -> None:
    one_video = {"v_b": FIRST["v_b"]}
    predictions = write_captions(tmp_path / "captions.json", one_video)
    references, output = write_references(tmp_path / "1.json", one_video), tmp_path / "scores.json"
    words = ["--predictions", str(predictions), "--references", str(references), "--output", str(output)]
    assert main([sub_command, *words]) == 0
    (note,) = json.loads(output.read_text())["notes"]
    assert "CIDEr is 0" in note
    assert note in capsys.readouterr().err
