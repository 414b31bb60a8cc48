import json
from pathlib import Path

import pytest

from pipeline.demo.motions import MOTIONS
from pipeline.make_demo import main
from pipeline.provenance.manifest import Manifest, read_manifest
from pipeline.video.decode import probe

CONFIG = {"seed": 3, "train_videos": 8, "val_videos": 4, "test_videos": 1, "broken_videos": 2}


def make(folder: Path, **over: int) -> Manifest:
    output = folder / "manifest.json"
    assert main(["--config", json.dumps({**CONFIG, **over}), "--output", str(output)]) == 0
    return read_manifest(output)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    return make(tmp_path_factory.mktemp("demo"), workers=2)


def annotations(demo: Manifest, name: str) -> dict:
    return json.loads(demo.payload(name).read_text())


def test_the_manifest_vouches_for_every_file(demo: Manifest) -> None:
    folder = demo.path.parent
    videos = {f"videos/{path.name}" for path in (folder / "videos").iterdir()}
    assert len(videos) == 13
    files = {"activity_net.v1-3.json", "train.json", "val_1.json", "val_2.json"}
    assert set(demo.payloads) == files | videos
    for name in demo.payloads:
        demo.payload(name)
    assert {path.name for path in folder.iterdir()} == {
        *files,
        "videos",
        "manifest.json",
        *(f"{name}.provenance.json" for name in ("manifest", "activity_net.v1-3", "train", "val_1", "val_2")),
    }


def test_the_facts_say_what_is_there(demo: Manifest) -> None:
    assert demo.facts["videos"] == {"training": 8, "validation": 4, "testing": 1}
    assert demo.facts["classes"] == [motion.label for motion in MOTIONS.values()]
    assert list(demo.facts["broken"].values()) == ["cut short", "flipped bytes"]
    database = annotations(demo, "activity_net.v1-3.json")["database"]
    assert demo.facts["seconds"] == pytest.approx(sum(entry["duration"] for entry in database.values()), abs=0.1)


def test_every_annotated_video_is_there_under_its_id(demo: Manifest) -> None:
    names = {Path(name).stem for name in demo.payloads if name.startswith("videos/")}
    entries = annotations(demo, "activity_net.v1-3.json")["database"]
    assert names == {f"v_{name}" for name in entries}
    captioned = set(annotations(demo, "train.json")) | set(annotations(demo, "val_1.json"))
    assert captioned == {f"v_{name}" for name, entry in entries.items() if entry["subset"] != "testing"}


def test_good_videos_are_as_long_as_annotated(demo: Manifest) -> None:
    entries = annotations(demo, "activity_net.v1-3.json")["database"]
    for name in demo.payloads:
        if not name.startswith("videos/") or Path(name).stem in demo.facts["broken"]:
            continue
        found = probe(demo.payload(name))
        entry = entries[Path(name).stem.removeprefix("v_")]
        assert found.duration == pytest.approx(entry["duration"], abs=0.05)
        assert f"{found.width}x{found.height}" == entry["resolution"]


def test_all_of_it_follows_from_the_seed_whatever_the_number_of_workers(demo: Manifest, tmp_path: Path) -> None:
    again = make(tmp_path, workers=1)
    assert again.payloads == demo.payloads
    assert again.facts == demo.facts


def test_a_failure_in_a_worker_is_one_plain_line_and_leaves_no_manifest(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "ffmpeg").write_text("#!/bin/sh\necho 'Unknown encoder libx264' >&2\nexit 1\n")
    (tools / "ffmpeg").chmod(0o755)
    monkeypatch.setenv("PATH", str(tools), prepend=":")
    output = tmp_path / "demo" / "manifest.json"
    assert main(["--config", json.dumps(CONFIG), "--output", str(output)]) == 2
    said = capsys.readouterr().err.splitlines()
    assert [line for line in said if line.startswith("error: ")] == [said[-1]]
    assert "ffmpeg could not encode it: Unknown encoder libx264" in said[-1]
    assert not output.exists()


def test_more_broken_videos_than_training_videos_is_one_plain_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = json.dumps({"train_videos": 2, "broken_videos": 3})
    assert main(["--config", config, "--output", str(tmp_path / "manifest.json")]) == 2
    said = capsys.readouterr().err
    assert "broken_videos must not exceed train_videos" in said
    assert said.count("\n") == 1
