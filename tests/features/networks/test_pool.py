"""Everything in the pool can be named, says what it wants, and stands in the document."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.commands.extractors import main
from pipeline.encoders.registry import PUBLISHED
from pipeline.errors import PipelineError
from pipeline.features.networks.registry import POOL, build, entry_of

ROOT = Path(__file__).resolve().parents[3]
NAMED = {
    "resnet152": ("frames", 2048),
    "i3d_rgb": ("frames", 1024),
    "i3d_flow": ("frames", 1024),
    "tsn_rgb": ("frames", 1024),
    "tsn_flow": ("frames", 1024),
    "slowfast_r50": ("frames", 2304),
    "vggish": ("sound", 128),
    "clip_vit_b32": ("frames", 512),
    "clip_rn101": ("frames", 512),
    "sa_tsp": ("frames", 512),
    "tsp": ("frames", 512),
    "tac": ("frames", 512),
}


def test_the_pool_is_the_papers_and_its_neighbours() -> None:
    assert list(POOL) == [*NAMED, *PUBLISHED]
    for name, (modality, dim) in NAMED.items():
        assert (POOL[name].name, POOL[name].modality, POOL[name].dim) == (name, modality, dim)
    for name, entry in POOL.items():
        assert entry.name == name
        assert entry.weights.licence
        for file in (entry.weights, *entry.more):
            assert file.url.startswith("https://") or name == "sa_tsp"
            assert not file.digest or re.fullmatch("[0-9a-f]{8,12}", file.digest)
    assert POOL["tsp"].weights.url == PUBLISHED["r2plus1d_34-tsp_on_activitynet"].url
    assert len({entry.weights.file for name, entry in POOL.items() if name in NAMED}) == len(NAMED)


def test_streams_that_are_combined_have_the_same_windows() -> None:
    assert POOL["i3d_rgb"].grid == POOL["i3d_flow"].grid
    assert POOL["tsn_rgb"].grid == POOL["tsn_flow"].grid
    # video_features gives one row for each 64 of n frames, as soon as there is one frame more.
    grid = POOL["i3d_rgb"].grid
    assert [(frames - grid.frames) // grid.stride + 1 for frames in (65, 128, 129, 193)] == [1, 1, 2, 3]


def test_an_unknown_name_lists_the_known_ones(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(PipelineError, match=r"^feature 'i3d' is not known; known are resnet152, i3d_rgb, i3d_flow, "):
        entry_of("i3d")
    with pytest.raises(PipelineError, match="known are"):
        build("c3d", "random")
    assert main(["show", "i3d"]) == 2
    assert "error: feature 'i3d' is not known" in capsys.readouterr().err


def test_without_open_clip_clip_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "open_clip", None)
    with pytest.raises(PipelineError, match=r"clip_vit_b32 needs open_clip .*pip install open_clip_torch"):
        build("clip_vit_b32", "random")


def test_optional_libraries_are_imported_only_when_asked_for() -> None:
    code = (
        "import sys, pipeline.features.networks.registry as r; r.build('tsn_rgb', 'random'); "
        "sys.exit(bool({'open_clip', 'cv2', 'urllib.request'} & set(sys.modules) - before))"
    )
    before = "import sys, torch; before = set(sys.modules); "
    assert subprocess.run([sys.executable, "-c", before + code], cwd=ROOT, check=False).returncode == 0


@pytest.mark.parametrize("name", ["tsn_rgb", "tac"])
def test_facts_are_plain_and_say_where_weights_are_from(name: str) -> None:
    facts = build(name, "random").facts
    assert json.loads(json.dumps(facts)) == facts
    assert (facts["extractor"], facts["weights"], facts["weights_sha256"]) == (name, "random", None)
    assert not facts.keys() & {"dim", "fps", "frames", "stride", "videos", "clips"}, "what the store says itself"


def test_list_and_show_tell_what_is_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "rgb_imagenet.pt").touch()
    assert main(["list", "--folder", str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(POOL) + 1
    assert [line.split()[1] for line in lines[:-1] if line.startswith("*")] == ["i3d_rgb"]
    assert main(["show", "vggish", "--folder", str(tmp_path)]) == 0
    shown = capsys.readouterr().out
    assert "windows: 15600 samples at 16000 per second (0.975 s), one each 15360 samples (0.96 s)" in shown
    assert "vggish-10086976.pth from https://github.com/" in shown
    assert "vggish_pca_params-970ea276.pth" in shown
    assert "licence: Apache-2.0" in shown


def test_the_document_shows_every_one() -> None:
    text = (ROOT / "docs" / "features.md").read_text(encoding="utf-8")
    for name in NAMED:
        entry = POOL[name]
        grid = f"{entry.grid.frames:,} at {entry.grid.fps:,.0f}/s, every {entry.grid.stride:,}"
        assert f"| `{name}` | {entry.modality} | {entry.dim:,} | {grid} | {entry.sees} | {entry.what} |" in text
        for file in (entry.weights, *entry.more):
            wanted = f"[`{file.file}`]({file.url})" if file.url else f"`{file.file}`"
            assert f"| {wanted} | {f'`{file.digest}`' if file.digest else 'not published'} | {file.licence} |" in text
