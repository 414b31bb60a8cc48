"""make_clips: files, splits, captions and categories of the synthetic clips."""

import json
from pathlib import Path
from typing import Any

import pytest

from pipeline.config.make_clips import MakeClips
from pipeline.datasets.annotations import read_clips
from pipeline.demo.clip_videos import plan_clips
from pipeline.demo.motions import MOTIONS
from pipeline.errors import PipelineError
from pipeline.make_clips import main
from pipeline.provenance.manifest import Manifest, read_manifest
from pipeline.video.stream import iter_frames

CONFIG = {"seed": 3, "train_clips": 5, "val_clips": 2, "test_clips": 3, "missing_clips": 1, "workers": 2}


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    output = tmp_path_factory.mktemp("clips") / "manifest.json"
    assert main(["--config", json.dumps(CONFIG), "--output", str(output)]) == 0
    return read_manifest(output)


def test_every_clip_but_the_missing_one_has_a_file(clips: Manifest) -> None:
    stems = {Path(name).stem for name in clips.files if name.startswith("videos/")}
    assert stems == {f"video{number}" for number in range(1, 10)}
    assert clips.metadata["missing"] == ["video0"]


def test_annotations_are_in_msrvtts_format_with_motions_as_categories(clips: Manifest) -> None:
    annotated = read_clips(clips.file("videodatainfo.json"))
    subsets = [entry.subset for entry in annotated.values()]
    assert subsets == ["training"] * 5 + ["validation"] * 2 + ["testing"] * 3
    assert all(len(entry.captions) == 5 for entry in annotated.values())
    assert len({caption for entry in annotated.values() for caption in entry.captions}) > 30
    assert {entry.category for entry in annotated.values()} <= {motion.label for motion in MOTIONS.values()}


def test_a_clip_lasts_as_long_as_its_event(clips: Manifest) -> None:
    plans = {clip.id: clip for clip in plan_clips(MakeClips.parse(CONFIG, "make_clips"))}
    for name in list(clips.files)[:4]:
        if name.startswith("videos/"):
            plan = plans[Path(name).stem]
            [event] = plan.events
            assert (event.start, event.end) == (0, plan.duration)
            *_, last = iter_frames(clips.file(name))
            assert float(last.time + last.duration) == pytest.approx(plan.duration, abs=0.15)


def test_the_size_of_one_subset_changes_no_clip_of_another() -> None:
    small, large = (plan_clips(MakeClips(train_clips=count, val_clips=2, test_clips=2)) for count in (5, 8))
    assert [vars(clip) | {"id": ""} for clip in small[-4:]] == [vars(clip) | {"id": ""} for clip in large[-4:]]
    assert small[:5] == large[:5]


def test_other_seeds_give_other_clips() -> None:
    first, second = (plan_clips(MakeClips(seed=seed, train_clips=5, val_clips=1, test_clips=1)) for seed in (0, 1))
    assert first != second


def test_missing_clips_must_leave_some(tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match="missing_clips = 5 leaves no file of train_clips = 5"):
        MakeClips.parse(CONFIG | {"missing_clips": 5}, "make_clips")


def test_the_manifest_counts_clips_and_categories(clips: Manifest) -> None:
    metadata: dict[str, Any] = dict(clips.metadata)
    assert metadata["clips"] == {"training": 5, "validation": 2, "testing": 3}
    assert sum(metadata["categories"].values()) == 10
