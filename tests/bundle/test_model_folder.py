"""A model folder holds all that captioning needs, works wherever it is, and refuses what was damaged."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from helpers.model_folders import copy_model, list_again, raw_videos
from helpers.workflow_sandbox import SCORED_VIDEO

from pipeline.bundle.description import read_description, read_model_manifest
from pipeline.bundle.events import EventLimits
from pipeline.bundle.model import Model
from pipeline.commands import model as model_command
from pipeline.errors import PipelineError
from pipeline.localization.proposals import Proposal, read_proposals
from pipeline.provenance.manifest import read_manifest


@pytest.fixture(scope="module")
def folder(finished_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the run's model folder, which no test changes."""
    return copy_model(finished_run, tmp_path_factory.mktemp("sent") / "model")


@pytest.fixture(scope="module")
def model(folder: Path) -> Model:
    return Model.open(folder, device="cpu")


@pytest.mark.parametrize("proposals", ["learned", "gt"])
def test_the_model_captions_as_the_pipeline_does_from_the_same_features(
    finished_run: Path, model: Model, proposals: str
) -> None:
    results = finished_run / "results" / "demo"
    expected = json.loads((results / "captions" / f"ensemble-test-{proposals}.json").read_text())["results"]
    times = read_proposals(results / "proposals" / "gt.json") if proposals == "gt" else {}
    assert expected
    for video, rows in expected.items():
        captions = model.caption_features(results / "features", 2, video, times.get(video))
        for caption, row in zip(captions, rows, strict=True):
            # The pipeline captions several videos in one batch, so its numbers may differ in the last bits.
            assert caption.pop("log_prob") == pytest.approx(row["log_prob"], rel=1e-5)
            assert caption.pop("proposal_score") == pytest.approx(row["proposal_score"], rel=1e-5)
            assert caption == {key: row[key] for key in ("sentence", "timestamp", "selected")}


def test_a_folder_that_was_moved_captions_a_video_from_any_folder(
    finished_run: Path, folder: Path, model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = raw_videos(finished_run)[SCORED_VIDEO].resolve()
    events = model.caption(path)
    assert events
    assert events == sorted(events)
    assert all(0 <= event.start < event.end and event.captioner.startswith("sa_tsp-0") for event in events)
    moved = shutil.copytree(folder, tmp_path / "elsewhere")
    monkeypatch.chdir(tmp_path)
    assert Model.open("elsewhere", device="cpu").caption(str(path)) == events
    assert str(finished_run) not in "".join(path.read_text() for path in moved.rglob("*.json"))


def test_limits_choose_the_best_events(finished_run: Path, model: Model) -> None:
    features = finished_run / "results" / "demo" / "features"
    rows = model.caption_features(features, 2, SCORED_VIDEO)
    scores = sorted((row["proposal_score"] for row in rows), reverse=True)
    best = model.caption_features(features, 2, SCORED_VIDEO, limits=EventLimits(top=1))
    assert [row["proposal_score"] for row in best] == scores[:1]
    more = model.caption_features(features, 2, SCORED_VIDEO, limits=EventLimits(top=len(rows) + 3))
    assert len(more) > len(rows)  # more than the model's own maximum
    above = model.caption_features(features, 2, SCORED_VIDEO, limits=EventLimits(min_score=scores[1]))
    assert len(above) == 2
    assert model.caption_features(features, 2, SCORED_VIDEO, limits=EventLimits(min_score=1.1)) == []


def test_times_that_the_user_knows_replace_the_proposer(finished_run: Path, model: Model) -> None:
    events = model.caption(raw_videos(finished_run)[SCORED_VIDEO], [Proposal(1.0, 3.0, 1.0), Proposal(2.0, 6.5, 1.0)])
    assert [(event.start, event.end) for event in events] == [(1.0, 3.0), (2.0, 6.5)]


def test_a_video_that_cannot_be_decoded_is_one_error(model: Model, tmp_path: Path) -> None:
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    with pytest.raises(PipelineError, match=r"broken\.mp4.*unreadable"):
        model.caption(tmp_path / "broken.mp4")


def test_the_folder_holds_tensors_text_and_nothing_else(folder: Path) -> None:
    listed = set(read_manifest(folder / "manifest.json").files)
    present = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert present == listed | {"manifest.json"}
    assert {Path(name).suffix for name in listed} == {".json", ".safetensors", ".md"}


def test_the_card_has_a_header_for_model_hubs(finished_run: Path, folder: Path) -> None:
    _, header, text = (folder / "README.md").read_text().split("---\n", 2)
    fields = yaml.safe_load(header)
    assert (fields["license"], fields["datasets"], fields["library_name"]) == ("other", ["demo"], "sa-tsp")
    assert "dense-video-captioning" in fields["tags"]
    [index] = fields["model-index"]
    scores = json.loads((finished_run / "results" / "demo_test_meteor.json").read_text())
    for result, key in zip(index["results"], ("gt", "learned"), strict=True):
        [meteor] = [metric for metric in result["metrics"] if metric["type"] == "meteor"]
        assert meteor["value"] == pytest.approx(100 * scores["METEOR"][key]["mean"], abs=1e-4)
        assert meteor["args"]["evaluator"]["code"] == scores["evaluator"]["code"]
    assert "&id" not in header
    assert all(name in text for name in ("`sa_tsp-0`", "`sa_tsp-0-xe`", "METEOR", "other"))


def test_show_and_check_name_every_part(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert model_command.main(["show", str(folder)]) == 0
    output = capsys.readouterr().out
    assert all(word in output for word in ("demo", "sa_tsp-0-xe", "greedy", "concepts, then idf", "METEOR"))
    assert model_command.main(["check", str(folder)]) == 0
    output = capsys.readouterr().out
    assert all(word in output for word in ("128 channels", "sa_tsp-0-xe", "complete"))


def _truncate(folder: Path) -> None:
    path = folder / "captioners" / "sa_tsp-0" / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1])


def _flip(folder: Path) -> None:
    path = folder / "encoders" / "sa_tsp" / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"\x55")


def _edit_manifest(folder: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    change(manifest)
    path.write_text(json.dumps(manifest))


DAMAGES: dict[str, tuple[Callable[[Path], Any], str]] = {
    "a file is missing": (lambda folder: (folder / "idf.json").unlink(), r"idf\.json: missing"),
    "a file is cut": (_truncate, r"sa_tsp-0/model\.safetensors: its sha256"),
    "a byte is changed": (_flip, r"encoders/sa_tsp/model\.safetensors: its sha256"),
    "a newer version": (
        lambda folder: _edit_manifest(folder, lambda manifest: manifest["metadata"].update(version=2)),
        r"version 2 .* up to 1",
    ),
    "an absolute path": (
        lambda folder: _edit_manifest(
            folder, lambda manifest: manifest["files"].update({"/etc/passwd": {"sha256": "", "bytes": 1}})
        ),
        r"'/etc/passwd'",
    ),
    "a path out of the folder": (
        lambda folder: list_again(
            folder, lambda text: text["features"]["sa_tsp"]["settings"].update(encoder="../../encoders/sa_tsp")
        ),
        r"lists no encoders/\.\./\.\./encoders/sa_tsp",
    ),
    "a part that is not there": (
        lambda folder: list_again(folder, lambda text: text["select_captions"]["members"][0].update(seed=7)),
        r"lists no captioners/sa_tsp-7",
    ),
    "an unknown setting": (
        lambda folder: list_again(folder, lambda text: text["generate_captions"].update(beams=7)),
        r"model\.json.*beams",
    ),
    "another manifest": (
        lambda folder: shutil.copy(folder / "proposer" / "manifest.json", folder / "manifest.json"),
        r"manifest\.json: the manifest of something else",
    ),
    "no manifest": (lambda folder: (folder / "manifest.json").unlink(), "not a model folder"),
    "no folder": (shutil.rmtree, "no such model folder"),
    "other features": (
        lambda folder: list_again(folder, lambda text: text["features"]["sa_tsp"]["settings"].update(stride=2)),
        "stride",
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_folder_is_one_plain_error(finished_run: Path, folder: Path, tmp_path: Path, damage: str) -> None:
    change, message = DAMAGES[damage]
    copy = shutil.copytree(folder, tmp_path / "copy")
    change(copy)
    with pytest.raises(PipelineError, match=message) as error:
        Model.open(copy, device="cpu").caption(raw_videos(finished_run)[SCORED_VIDEO])
    assert "\n" not in str(error.value)


def test_the_description_keeps_no_setting_of_the_machine(folder: Path) -> None:
    text = (folder / "model.json").read_text()
    assert "device" not in text
    assert "workers" not in text
    assert read_description(read_model_manifest(folder)).captioners == ["sa_tsp-0", "sa_tsp-0-xe"]
