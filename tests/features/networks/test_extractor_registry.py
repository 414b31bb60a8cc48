"""Every registered extractor is complete; those of the papers are there; the registry imports no network."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.extraction import build

from pipeline.config.encoders import PUBLISHED_WEIGHTS
from pipeline.config.extractors import EXTRACTORS, PublishedFeatureSettings
from pipeline.errors import PipelineError
from pipeline.features.networks.base import BuiltExtractor
from pipeline.features.networks.table import extractors_table, weights_table

ROOT = Path(__file__).resolve().parents[3]
PAPERS = {
    "resnet101": ("frames", 2048),
    "resnet152": ("frames", 2048),
    "vgg16": ("frames", 4096),
    "resnext101_3d": ("frames", 2048),
    "i3d_rgb": ("frames", 1024),
    "i3d_flow": ("frames", 1024),
    "tsn_rgb": ("frames", 1024),
    "tsn_flow": ("frames", 1024),
    "slowfast_r50": ("frames", 2304),
    "vggish": ("sound", 128),
    "clip_vit_b32": ("frames", 512),
    "clip_rn50": ("frames", 1024),
    "clip_rn101": ("frames", 512),
    "clip_rn50x4": ("frames", 640),
    "sa_tsp": ("frames", 512),
    "tsp": ("frames", 512),
    "tac": ("frames", 512),
}


def test_extractors_of_the_papers_and_published_encoders_are_registered() -> None:
    assert {name: (EXTRACTORS[name].modality, EXTRACTORS[name].dim) for name in PAPERS} == PAPERS
    assert PUBLISHED_WEIGHTS.keys() <= EXTRACTORS.keys()
    assert EXTRACTORS["tsp"].weights.url == PUBLISHED_WEIGHTS["r2plus1d_34-tsp_on_activitynet"].url
    assert len({EXTRACTORS[name].weights.file for name in PAPERS}) == len(PAPERS)


@pytest.mark.parametrize("name", EXTRACTORS)
def test_every_extractor_has_a_builder_settings_and_well_formed_weight_files(name: str) -> None:
    spec = EXTRACTORS[name]
    assert spec.load().__annotations__["return"] is BuiltExtractor
    assert issubclass(spec.settings, PublishedFeatureSettings)
    assert spec.modality in ("frames", "sound")
    for file in (spec.weights, *spec.extra_weights):
        assert file.licence
        assert file.url.startswith("https://") or not file.url
        assert not file.digest or re.fullmatch("[0-9a-f]{8,12}", file.digest)


def test_tables_list_every_extractor_and_weight_file() -> None:
    extractors, weights = extractors_table(), weights_table()
    for name, spec in EXTRACTORS.items():
        if name not in PUBLISHED_WEIGHTS:
            [row] = [line for line in extractors.splitlines() if line.startswith(f"| `{name}` |")]
            assert spec.input_description in row
            assert f"{spec.grid.frames:,} at {spec.grid.fps:,.0f}/s" in row
            for file in (spec.weights, *spec.extra_weights):
                [row] = [line for line in weights.splitlines() if f"`{file.file}`" in line]
                assert f"`{name}`" in row
                assert file.licence in row


def test_streams_that_are_combined_have_the_same_windows() -> None:
    assert EXTRACTORS["i3d_rgb"].grid == EXTRACTORS["i3d_flow"].grid
    assert EXTRACTORS["tsn_rgb"].grid == EXTRACTORS["tsn_flow"].grid
    # video_features gives one row for each 64 of n frames, as soon as there is one frame more.
    grid = EXTRACTORS["i3d_rgb"].grid
    assert [(frames - grid.frames) // grid.stride + 1 for frames in (65, 128, 129, 193)] == [1, 1, 2, 3]


def test_an_unknown_extractor_names_the_nearest_one() -> None:
    with pytest.raises(PipelineError, match="i3d_rgb"):
        PublishedFeatureSettings.parse({"extractor": "i3d_rbg", "weights": "random"}, "extract_features.i3d")


def test_clip_without_open_clip_names_the_package_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "open_clip", None)
    with pytest.raises(PipelineError, match=r"clip_vit_b32 .*pip install open_clip_torch"):
        build("clip_vit_b32")


@pytest.mark.parametrize(
    ("code", "absent"),
    [
        ("import pipeline.config.extractors, pipeline.commands.features", {"torch", "av"}),
        ("from helpers.extraction import build; build('tsn_rgb')", {"open_clip", "cv2", "urllib.request"}),
    ],
)
def test_networks_and_optional_libraries_are_imported_only_when_needed(code: str, absent: set[str]) -> None:
    """Compared with what torch itself imports, where the code needs torch."""
    before = "import sys; " + ("" if "torch" in absent else "import torch; ") + "before = set(sys.modules); "
    check = f"; sys.exit(' '.join({absent!r} & (set(sys.modules) - before)))"
    environment = {"PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"}
    process = subprocess.run(
        [sys.executable, "-c", before + code + check], env=environment, capture_output=True, text=True, check=False
    )
    assert process.stderr.strip() == ""


@pytest.mark.parametrize("name", ["tsn_rgb", "tac"])
def test_metadata_is_plain_and_states_the_weights(name: str) -> None:
    metadata = build(name).metadata
    assert json.loads(json.dumps(metadata)) == metadata
    assert (metadata["extractor"], metadata["weights"], metadata["weights_sha256"]) == (name, "random", None)
    assert not metadata.keys() & {"dim", "fps", "frames", "stride", "videos", "clips"}, "the store states these itself"
