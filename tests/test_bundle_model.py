"""The stage `bundle_model`: it finds the parts of a model by the provenance of its captions."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from helpers.workflow_sandbox import SCORED_VIDEO

from pipeline.bundle.model import Model
from pipeline.bundle.parts import FeaturePart, ModelParts, find_parts
from pipeline.bundle.writing import write_model_folder
from pipeline.bundle_model import main
from pipeline.config.bundle_model import BundleModel
from pipeline.config.extract_features import FeatureEntry
from pipeline.errors import PipelineError
from pipeline.io.atomic import sha256
from pipeline.provenance.manifest import read_manifest

DEMO = Path("results/demo")
CAPTIONS = DEMO / "captions" / "ensemble-test-learned.json"
SCORES = Path("results/demo_test_meteor.json")


@pytest.fixture
def run(finished_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the results, which is the current folder."""
    shutil.copytree(finished_run / "results", tmp_path / "results")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def bundle(captions: Path = CAPTIONS, output: Path = Path("model/manifest.json"), **settings: Any) -> int:
    arguments = ["--config", json.dumps(settings), "--captions", captions, "--scores", SCORES, "--dataset", "demo"]
    arguments += ["--concepts", DEMO / "concepts.json", "--idf", DEMO / "idf.json", "--output", output]
    return main([str(argument) for argument in arguments])


def error_line(capsys: pytest.CaptureFixture[str]) -> str:
    [line] = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    return line


def write_with(parts: ModelParts, **settings: Any) -> Path:
    """Write a model folder of some parts."""
    texts = [DEMO / "concepts.json", DEMO / "idf.json"]
    output = Path("model/manifest.json")
    write_model_folder(parts, BundleModel(**settings), "demo", CAPTIONS, SCORES, texts, output)
    return output.parent


def add_feature(parts: ModelParts, name: str, settings: dict[str, Any], *weights: Path) -> ModelParts:
    entry = FeatureEntry.parse(settings, name)
    part = FeaturePart(entry, None, {path: sha256(path) for path in weights})
    return replace(parts, features={**parts.features, name: part})


def test_the_same_run_gives_the_same_folder(run: Path) -> None:
    rule = DEMO / "model" / "manifest.json"
    assert bundle() == 0
    assert read_manifest(Path("model/manifest.json")).files == read_manifest(rule).files
    assert bundle(licence="cc-by-4.0", title="Another one") == 0
    text = Path("model/README.md").read_text()
    assert "license: cc-by-4.0" in text
    assert "# Another one" in text


def test_captions_at_annotated_times_give_a_model_without_a_proposer(run: Path) -> None:
    assert bundle(DEMO / "captions" / "ensemble-test-gt.json") == 0
    assert not Path("model/proposer").exists()
    model = Model.open("model", device="cpu")
    assert model.proposer is None
    with pytest.raises(PipelineError, match="no proposer"):
        model.caption_features(DEMO / "features", 2, SCORED_VIDEO)


def test_parts_of_an_earlier_model_do_not_stay(run: Path) -> None:
    assert bundle() == 0
    assert bundle(DEMO / "captions" / "ensemble-test-gt.json") == 0
    listed = read_manifest(Path("model/manifest.json")).files
    present = {path.relative_to("model").as_posix() for path in Path("model").rglob("*") if path.is_file()}
    assert present == {*listed, "manifest.json", "manifest.provenance.json"}


@pytest.mark.parametrize(
    "path",
    [
        "captioners/sa_tsp/0/xe/manifest.json",
        "proposers/learned/manifest.json",
        "encoders/sa_tsp/manifest.json",
        "features/sa_tsp/0000/manifest.json",
        "captions/sa_tsp-0-test-learned.json",
    ],
)
def test_a_part_that_changed_after_the_captions_is_one_plain_error(
    run: Path, capsys: pytest.CaptureFixture[str], path: str
) -> None:
    file = DEMO / path
    file.write_text(file.read_text() + "\n")
    assert bundle() == 2
    assert str(file) in error_line(capsys)
    assert not Path("model").exists()


def test_captions_of_another_stage_are_refused(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert bundle(DEMO / "captions" / "sa_tsp-0-test-learned.json") == 2
    assert "generate_captions" in error_line(capsys)
    shutil.copy(CAPTIONS, "mine.json")
    assert bundle(Path("mine.json")) == 2
    assert "no provenance record" in error_line(capsys)


def test_a_feature_of_a_file_cannot_be_made_for_other_videos(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for record in (DEMO / "features" / "sa_tsp").glob("*/manifest.provenance.json"):
        data = json.loads(record.read_text())
        data["config"] = {"file": "i3d.h5", "fps": 25.0, "frames": 16, "stride": 16}
        record.write_text(json.dumps(data))
    assert bundle() == 2
    assert "i3d.h5" in error_line(capsys)


def test_published_weights_are_named_and_needed_from_the_user(run: Path) -> None:
    weights = Path("vggish-10086976.pth")
    weights.write_bytes(b"published")
    settings = {"extractor": "vggish", "weights": str(weights.resolve())}
    folder = write_with(add_feature(find_parts(CAPTIONS), "sound", settings, weights))
    assert not list(folder.rglob("*.pth"))
    assert str(run) not in (folder / "model.json").read_text()
    card = (folder / "README.md").read_text()
    assert all(fact in card for fact in (weights.name, sha256(weights), "Apache-2.0", "https://github.com/harritaylor"))
    with pytest.raises(PipelineError, match=rf"nowhere/{weights.name}.*{sha256(weights)}.*--weights"):
        Model.open(folder, weights=Path("nowhere"), device="cpu")
    other = Path("other") / weights.name
    other.parent.mkdir()
    other.write_bytes(b"of somebody else")
    with pytest.raises(PipelineError, match=rf"{other}.*{sha256(weights)}"):
        Model.open(folder, weights=other.parent, device="cpu")


def test_own_weights_of_a_published_network_are_copied(run: Path) -> None:
    weights = Path("mine.safetensors")
    weights.write_bytes(b"weights")
    parts = add_feature(find_parts(CAPTIONS), "mine", {"extractor": "sa_tsp", "weights": str(weights)}, weights)
    folder = write_with(parts)
    assert (folder / "weights" / "mine" / weights.name).read_bytes() == b"weights"
    assert f"weights/mine/{weights.name}" in read_manifest(folder / "manifest.json").files


def test_random_weights_need_no_file(run: Path) -> None:
    parts = add_feature(find_parts(CAPTIONS), "sound", {"extractor": "vggish", "weights": "random", "stride": 32000})
    assert Model.open(write_with(parts), device="cpu").extractors["sound"].dim == 128


def test_features_with_different_ends_of_videos_are_refused(run: Path) -> None:
    settings = {"extractor": "vggish", "weights": "random", "tail": "pad"}
    with pytest.raises(PipelineError, match="tail differs"):
        write_with(add_feature(find_parts(CAPTIONS), "sound", settings))
