"""What a stage has finished is never computed again: its outputs are published again, until something differs.

The stages run on the files of a finished run, with the command lines that made those files.
"""

import errno
import importlib
import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from helpers.campaigns import quick_cases
from helpers.kill_runner import Case
from helpers.measurements import Measurements
from helpers.stage_cases import CASES, case_of

from pipeline.provenance.computation import KEPT_FOLDER
from pipeline.provenance.record import read_record
from pipeline.provenance.settings import command_arguments

pytestmark = pytest.mark.end_to_end

SECONDS = ("build_corpus", "label_clips", "evaluate_localization", "bundle_model", "write_report", "write_submission")
"""Stages that take seconds at full size; they compute again."""

TABLE = "finished, output deleted, run again"
OTHER_TABLE = "finished, run again with other settings"


class Work(NamedTuple):
    """The work of a stage, as a function that the stage calls.

    Attributes:
        path: module and attribute of the function.
        unit: what is counted.
        count: the number of units of a call, from its arguments.
        settings: other settings than those of the finished run, as few units as possible.
    """

    path: str
    unit: str
    count: Callable[..., int]
    settings: dict[str, Any]


def one(*_: Any) -> int:
    return 1


EPOCHS = ("pipeline.training.log.MetricsLog.append", "epochs", one)

WORK = {
    "make_demo": Work("pipeline.make_demo.render_videos", "videos", lambda videos, *_: len(videos), {"seed": 9}),
    "make_acts": Work("pipeline.make_acts.render_videos", "videos", lambda videos, *_: len(videos), {"seed": 9}),
    "make_clips": Work("pipeline.make_clips.render_videos", "videos", lambda videos, *_: len(videos), {"seed": 9}),
    "reencode": Work("pipeline.reencode._reencode", "videos", one, {"crf": 40}),
    "mine_concepts": Work("pipeline.mine_concepts.find_concepts", "sentences", len, {"size": 7}),
    "pretrain_encoder": Work(*EPOCHS, {"seed": 9}),
    "train_recognizer": Work(*EPOCHS, {"seed": 9}),
    "recognize_clips": Work(
        "pipeline.recognize_clips.predict_clips",
        "clips",
        lambda recognizer, loader, samples: len(samples),
        {"max_unreadable": 0.5},
    ),
    "evaluate_recognition": Work(
        "pipeline.evaluate_recognition.score_recognizer", "recognizers", one, {"max_length": 5}
    ),
    "transfer_features": Work("pipeline.transfer_features.score_feature", "features", one, {"runs": 3}),
    "render_grad_cam": Work(
        "pipeline.render_grad_cam.render", "clips", lambda recognizer, rows, *_: len(rows), {"columns": 3}
    ),
    "extract_features": Work(
        "pipeline.features.extraction.run.extract_features", "videos", lambda sources, *_: len(sources), {"tail": "pad"}
    ),
    "pool_features": Work(
        "pipeline.pool_features.pool_videos", "videos", lambda features, _: len(features.videos), {"pools": ["max"]}
    ),
    "probe_encoder": Work(
        "pipeline.probe_encoder.score_probes", "clips", lambda train, *_: len(train.features), {"l2": 2.0}
    ),
    "train_proposer": Work(*EPOCHS, {"seed": 9}),
    "propose_events": Work(
        "pipeline.propose_events.propose",
        "videos",
        lambda proposer, inputs, videos, *_: len(videos),
        {"max_proposals": 1},
    ),
    "propose_events-gt": Work(
        "pipeline.propose_events.ground_truth_proposals",
        "videos",
        lambda corpus, _: len(corpus.videos),
        {"annotator": 2},
    ),
    "classify_videos": Work(
        "pipeline.classify_videos.classify_by_features", "videos", lambda videos, *_: len(videos), {"l2": 2.0}
    ),
    "train_localizer": Work(*EPOCHS, {"seed": 9}),
    "localize_actions": Work(
        "pipeline.localize_actions.detect_actions",
        "videos",
        lambda localizers, videos, *_: len(videos),
        {"top_classes": 1},
    ),
    "train_captioner": Work(*EPOCHS, {"lr": 0.01}),
    "finetune_scst": Work(*EPOCHS, {"lr": 0.01}),
    "generate_captions": Work(
        "pipeline.captioning.generation.decode",
        "captions",
        lambda bundle, batch, num_events, _: sum(num_events.values()),
        {"decoding": "sample"},
    ),
    "select_captions": Work(
        "pipeline.select_captions.select_captions",
        "captions",
        lambda members, *_: sum(map(len, members[0].results.values())),
        {"explain": True},
    ),
    "evaluate": Work(
        "pipeline.evaluate.score_dataset", "caption files", lambda *arguments: len(arguments[3]), {"bootstrap": 20}
    ),
    "analyze_localization": Work(
        "pipeline.analyze_localization.analyze_detections", "sets of detections", one, {"tious": [0.5]}
    ),
    "evaluate_clips": Work("pipeline.evaluate_clips.score_clip_dataset", "splits", one, {"subset": "testing"}),
    "analyze_clips": Work("pipeline.analyze_clips.analyze", "captioners", one, {"neighbours": 1}),
    "compare_localization": Work(
        "pipeline.compare_localization.compute_study",
        "datasets",
        lambda results, config: len(config.datasets(results.name)),
        {"bootstrap": 10},
    ),
    "compare_systems": Work(
        "pipeline.compare_systems.score_datasets",
        "datasets",
        lambda results, config: len(config.datasets(results.name)),
        {"scores": {"bootstrap": 20}},
    ),
    "compare_results": Work(
        "pipeline.compare_results.compute_result_tables",
        "result files",
        lambda results, study: len(study.result_files(results.name)),
        {"title": "Other scores"},
    ),
}

JOURNALS = ("reencode", "extract_features")
TRAININGS = (
    "train_captioner",
    "finetune_scst",
    "pretrain_encoder",
    "train_recognizer",
    "train_proposer",
    "train_localizer",
)


def count_work(patch: pytest.MonkeyPatch, work: Work) -> list[int]:
    """Return a list that grows by the number of units with each call of the function."""
    counts: list[int] = []
    name, _, attribute = work.path.rpartition(".")
    try:
        owner: Any = importlib.import_module(name)
    except ModuleNotFoundError:  # a method
        module, _, kind = name.rpartition(".")
        owner = getattr(importlib.import_module(module), kind)
    function = getattr(owner, attribute)

    def counted(*args: Any, **kwargs: Any) -> Any:
        counts.append(work.count(*args))
        return function(*args, **kwargs)

    patch.setattr(owner, attribute, counted)
    return counts


def run(case: Case, settings: dict[str, Any] | None = None) -> None:
    """Run a case, with other settings than its own."""
    words = list(case.words)
    if settings:
        index = words.index("--config") + 1
        words[index] = json.dumps(json.loads(words[index]) | settings)
    assert importlib.import_module(case.stage).main(words) == 0


def read_declared(case: Case) -> dict[str, bytes]:
    return {path: Path(path).read_bytes() for path in case.declared}


def delete_declared(case: Case) -> None:
    """Delete the declared outputs, as Snakemake does before it runs a job again."""
    for path in case.declared:
        Path(path).unlink(missing_ok=True)


def test_every_stage_that_takes_more_than_seconds_is_tested() -> None:
    assert {*WORK, *SECONDS} == {*CASES}


@pytest.mark.parametrize("name", WORK)
def test_a_deleted_output_is_published_again_and_nothing_is_computed(
    run_copy: Path, monkeypatch: pytest.MonkeyPatch, measurements: Measurements, name: str
) -> None:
    monkeypatch.chdir(run_copy)
    case, work = case_of(run_copy, name), WORK[name]
    counts = count_work(monkeypatch, work)
    if not Path(case.declared[0]).exists():  # not among the results of the run
        run(case)
        counts.clear()
    before = read_declared(case)
    delete_declared(case)
    start = time.monotonic()
    run(case)
    seconds = time.monotonic() - start
    assert read_declared(case) == before
    measurements.add_row(TABLE, stage=name, unit=work.unit, again=sum(counts), s=seconds)
    assert sum(counts) == 0


@pytest.mark.campaign
@pytest.mark.parametrize("name", WORK)
def test_other_settings_are_computed(
    run_copy: Path, monkeypatch: pytest.MonkeyPatch, measurements: Measurements, name: str
) -> None:
    monkeypatch.chdir(run_copy)
    case, work = case_of(run_copy, name), WORK[name]
    counts = count_work(monkeypatch, work)
    delete_declared(case)
    run(case, work.settings)
    measurements.add_row(OTHER_TABLE, stage=name, unit=work.unit, computed=sum(counts))
    assert sum(counts) > 0


def test_arguments_that_decide_a_result_belong_to_the_computation(finished_run: Path) -> None:
    files = sorted((finished_run / "results").rglob(f"{KEPT_FOLDER}/*.computation.json"))
    assert len(files) > 10
    for file in files:
        output = file.parent.parent / file.name.replace(".computation.json", ".json")
        record = read_record(output)
        assert record is not None
        options = {option.strip("-").replace("-", "_") for option in command_arguments(record) if option}
        deciding = json.loads(file.read_text())["computation"]["arguments"].keys()
        assert options - {"video_features"} <= deciding, f"{file}; video_features may be an empty list of files"


@pytest.mark.parametrize("name", [*quick_cases(TRAININGS, 1), *quick_cases(JOURNALS, 1)])
def test_a_disk_that_is_full_when_the_manifest_is_written_costs_no_work(
    run_copy: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    monkeypatch.chdir(run_copy)
    case, work = case_of(run_copy, name), WORK[name]
    before = read_declared(case)
    for path in case.leaves:
        shutil.rmtree(path, ignore_errors=True)
    counts = count_work(monkeypatch, work)
    with monkeypatch.context() as patch:
        rename = Path.replace

        def replace(path: Path, target: Path) -> Path:
            if str(target) == case.declared[0]:
                raise OSError(errno.ENOSPC, "No space left on device", str(path))
            return rename(path, target)

        patch.setattr(Path, "replace", replace)
        assert importlib.import_module(case.stage).main(case.words) == 2
    assert f"{case.declared[0]}: cannot be written (No space left on device)" in capsys.readouterr().err
    assert sum(counts) > 0
    counts.clear()
    run(case)
    assert counts == []
    assert len(read_declared(case)) == len(before)
