"""make_demo: files, metadata and errors of the synthetic dataset."""

import json
from pathlib import Path

import pytest

from pipeline.demo.motions import MOTIONS
from pipeline.make_demo import main
from pipeline.provenance.computation import KEPT_FOLDER
from pipeline.provenance.manifest import Manifest, read_manifest
from pipeline.video.stream import iter_frames

CONFIG = {"seed": 3, "train_videos": 4, "val_videos": 3, "test_videos": 1, "broken_videos": 2}


def make(folder: Path, **over: int) -> Manifest:
    output = folder / "manifest.json"
    assert main(["--config", json.dumps({**CONFIG, **over}), "--output", str(output)]) == 0
    return read_manifest(output)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    return make(tmp_path_factory.mktemp("demo"), workers=2)


def annotations(demo: Manifest, name: str) -> dict:
    return json.loads(demo.file(name).read_text())


def test_make_demo_lists_every_file_in_the_manifest(demo: Manifest) -> None:
    folder = demo.path.parent
    videos = {f"videos/{path.name}" for path in (folder / "videos").iterdir()}
    assert len(videos) == 8
    files = {"activity_net.v1-3.json", "train.json", "val_1.json", "val_2.json"}
    assert set(demo.files) == files | videos
    for name in demo.files:
        demo.file(name)
    assert {path.name for path in folder.iterdir()} == {
        *files,
        KEPT_FOLDER,
        "videos",
        "manifest.json",
        *(f"{name}.provenance.json" for name in ("manifest", "activity_net.v1-3", "train", "val_1", "val_2")),
    }


def test_make_demo_counts_videos_and_damages_in_the_metadata(demo: Manifest) -> None:
    assert demo.metadata["videos"] == {"training": 4, "validation": 3, "testing": 1}
    assert demo.metadata["classes"] == [motion.label for motion in MOTIONS.values()]
    assert list(demo.metadata["broken"].values()) == ["cut short", "flipped bytes"]
    database = annotations(demo, "activity_net.v1-3.json")["database"]
    assert demo.metadata["seconds"] == pytest.approx(sum(entry["duration"] for entry in database.values()), abs=0.1)


def test_make_demo_annotates_every_video_under_its_id(demo: Manifest) -> None:
    names = {Path(name).stem for name in demo.files if name.startswith("videos/")}
    entries = annotations(demo, "activity_net.v1-3.json")["database"]
    assert names == {f"v_{name}" for name in entries}
    captioned = set(annotations(demo, "train.json")) | set(annotations(demo, "val_1.json"))
    assert captioned == {f"v_{name}" for name, entry in entries.items() if entry["subset"] != "testing"}


def test_make_demo_writes_intact_videos_with_the_annotated_duration_and_size(demo: Manifest) -> None:
    entries = annotations(demo, "activity_net.v1-3.json")["database"]
    for name in demo.files:
        if not name.startswith("videos/") or Path(name).stem in demo.metadata["broken"]:
            continue
        frames = list(iter_frames(demo.file(name)))
        entry = entries[Path(name).stem.removeprefix("v_")]
        end = float(frames[-1].time + frames[-1].duration - frames[0].time)
        assert end == pytest.approx(entry["duration"], abs=0.05)
        height, width, _ = frames[0].to_rgb().shape
        assert f"{width}x{height}" == entry["resolution"]


def test_make_demo_depends_on_the_seed_and_not_on_the_number_of_workers(demo: Manifest, tmp_path: Path) -> None:
    again = make(tmp_path, workers=1)
    assert again.files == demo.files
    assert again.metadata == demo.metadata


def test_make_demo_reports_a_failing_ffmpeg_in_one_line_and_writes_no_manifest(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "ffmpeg").write_text("#!/bin/sh\necho 'Unknown encoder libx264' >&2\nexit 1\n")
    (tools / "ffmpeg").chmod(0o755)
    monkeypatch.setenv("PATH", str(tools), prepend=":")
    output = tmp_path / "demo" / "manifest.json"
    assert main(["--config", json.dumps(CONFIG), "--output", str(output)]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert [line for line in lines if line.startswith("error: ")] == [lines[-1]]
    assert "Unknown encoder libx264" in lines[-1]
    assert not output.exists()


def test_make_demo_rejects_more_broken_videos_than_training_videos(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = json.dumps({"train_videos": 2, "broken_videos": 3})
    assert main(["--config", config, "--output", str(tmp_path / "manifest.json")]) == 2
    message = capsys.readouterr().err
    assert "broken_videos = 3 exceeds train_videos = 2" in message
    assert message.count("\n") == 1
