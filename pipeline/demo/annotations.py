"""Annotations of the demo in the formats of ActivityNet 1.3 and ActivityNet Captions."""

import random
from typing import Any

from pipeline.demo.motions import MOTIONS
from pipeline.demo.scene import Event, VideoPlan
from pipeline.demo.sentences import write_caption

MIN_DISAGREEMENT, MAX_DISAGREEMENT = 0.2, 0.5
"""Range of the differences between the times of the two annotators (seconds)."""


def action_annotations(videos: list[VideoPlan]) -> dict[str, Any]:
    """Build the content of ActivityNet's file: taxonomy and action segments by id, without `v_`; testing has none."""
    return {
        "version": "VERSION 1.3",
        "taxonomy": _taxonomy(),
        "database": {video.id: _action_entry(video) for video in videos},
    }


def caption_annotations(videos: list[VideoPlan], annotator: int, seed: int) -> dict[str, Any]:
    """Build the content of ActivityNet Captions' file of one annotator.

    Args:
        videos: the captioned videos.
        annotator: 1 gives the exact times; 2 gives times with small errors, and different sentences.
        seed: seed of the dataset.
    """
    return {video.name: _caption_entry(video, annotator, seed) for video in videos}


def select_subset(videos: list[VideoPlan], subset: str) -> list[VideoPlan]:
    """Return the videos of one official subset."""
    return [video for video in videos if video.subset == subset]


def second_annotator_videos(videos: list[VideoPlan]) -> list[VideoPlan]:
    """Return the videos that the second annotator captions: 24 of 25, as in ActivityNet Captions."""
    return [video for index, video in enumerate(videos) if index % 25 != 24]


def _taxonomy() -> list[dict[str, Any]]:
    nodes: list[dict[str, Any]] = [{"parentName": None, "nodeName": "Root", "nodeId": 0, "parentId": None}]
    parents = sorted({motion.parent for motion in MOTIONS.values()})
    for number, parent in enumerate(parents, start=1):
        nodes.append({"parentName": "Root", "nodeName": parent, "nodeId": number, "parentId": 0})
    for motion in MOTIONS.values():
        nodes.append(
            {
                "parentName": motion.parent,
                "nodeName": motion.label,
                "nodeId": len(nodes),
                "parentId": 1 + parents.index(motion.parent),
            }
        )
    return nodes


def _action_entry(video: VideoPlan) -> dict[str, Any]:
    events = () if video.subset == "testing" else video.events
    return {
        "duration": round(video.duration, 2),
        "subset": video.subset,
        "resolution": f"{video.width}x{video.height}",
        "url": "",
        "annotations": [
            {"segment": [round(event.start, 3), round(event.end, 3)], "label": MOTIONS[event.motion].label}
            for event in events
        ],
    }


def _caption_entry(video: VideoPlan, annotator: int, seed: int) -> dict[str, Any]:
    rng = random.Random(f"captions {seed} {video.id} {annotator}")
    duration = round(video.duration, 2)
    timestamps = [_times(event, annotator, duration, rng) for event in video.events]
    sentences = [write_caption(event, rng, first=index == 0) for index, event in enumerate(video.events)]
    return {"duration": duration, "timestamps": timestamps, "sentences": sentences}


def _times(event: Event, annotator: int, duration: float, rng: random.Random) -> list[float]:
    if annotator == 1:
        return [round(event.start, 2), round(event.end, 2)]
    times = [time + _disagreement(rng) for time in (event.start, event.end)]
    return [round(min(max(time, 0.0), duration), 2) for time in times]


def _disagreement(rng: random.Random) -> float:
    return rng.choice([-1, 1]) * rng.uniform(MIN_DISAGREEMENT, MAX_DISAGREEMENT)
