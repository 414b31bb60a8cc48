"""The clips of the demo: each event of the demo's world as a video of its own, captioned by several people.

The clips of one video have the same motion and the same backdrop, so they are in the same split.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from pipeline.config.make_clips import MakeClips
from pipeline.config.make_demo import MakeDemo
from pipeline.demo.motions import MOTIONS
from pipeline.demo.plan import plan_videos
from pipeline.demo.scene import VideoPlan
from pipeline.demo.sentences import write_caption

SPLITS = {"training": "train", "validation": "validate", "testing": "test"}
"""MSR-VTT's name of each subset."""


@dataclass(frozen=True)
class ClipPlan(VideoPlan):
    """Everything that determines a clip: a video with one event as long as itself."""

    @property
    def name(self) -> str:
        """Id as in MSR-VTT, and the name of the file."""
        return self.id


def plan_clips(config: MakeClips) -> list[ClipPlan]:
    """Plan all clips: those for training first, then for validation and testing; ids are video0, video1, ..."""
    counts = {"training": config.train_clips, "validation": config.val_clips, "testing": config.test_clips}
    clips: list[ClipPlan] = []
    for number, (subset, count) in enumerate(counts.items()):
        # A video has at least two events. Each subset has a world of its own: its size changes no clip of another.
        world = MakeDemo(
            seed=3 * config.seed + number, train_videos=(count + 1) // 2, val_videos=3, test_videos=0, broken_videos=0
        )
        videos = (video for video in plan_videos(world) if video.subset == "training")
        events = (clip for video in videos for clip in _cut_events(video, subset))
        clips += [replace(clip, id=f"video{len(clips) + index}") for index, clip in enumerate(islice(events, count))]
    return clips


def _cut_events(video: VideoPlan, subset: str) -> Iterator[ClipPlan]:
    """Yield a clip of each event of a video."""
    for number, event in enumerate(video.events):
        frames = round((event.end - event.start) * video.rate)
        duration = float(frames / video.rate)
        changes: dict[str, Any] = {
            "subset": subset,
            "frames": frames,
            "events": (replace(event, start=0.0, end=duration),),
            "backgrounds": (),
            "noise_seed": video.noise_seed + number,
        }
        yield ClipPlan(**(vars(video) | changes))


def clip_annotations(clips: list[ClipPlan], config: MakeClips) -> dict[str, Any]:
    """Build the content of MSR-VTT's file; categories are names of motions, where MSR-VTT has numbers."""
    captions = [(clip, text) for clip in clips for text in _write_captions(clip, config)]
    return {
        "info": {"year": "", "version": "1.0", "description": "made", "contributor": "", "data_created": ""},
        "videos": [
            {
                "id": number,
                "video_id": clip.id,
                "category": MOTIONS[clip.motion].label,
                "url": "",
                "start time": 0.0,
                "end time": round(clip.duration, 2),
                "split": SPLITS[clip.subset],
            }
            for number, clip in enumerate(clips)
        ],
        "sentences": [
            {"sen_id": number, "video_id": clip.id, "caption": text} for number, (clip, text) in enumerate(captions)
        ],
    }


def _write_captions(clip: ClipPlan, config: MakeClips) -> Iterator[str]:
    rng = random.Random(f"clip captions {config.seed} {clip.id}")
    for _ in range(config.captions):
        yield write_caption(clip.events[0], rng, first=True)
