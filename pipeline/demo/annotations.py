"""The demo's annotations, in the files of ActivityNet 1.3 and of ActivityNet Captions."""

import random
from typing import Any

from pipeline.demo.motions import MOTIONS
from pipeline.demo.scene import Event, Video
from pipeline.demo.sentences import describe

SHORTEST_DISAGREEMENT, LONGEST_DISAGREEMENT = 0.2, 0.5
"""How far the second annotator's times lie from the first one's, seconds."""


def action_annotations(videos: list[Video]) -> dict[str, Any]:
    """ActivityNet's own file: taxonomy, and the action segments by id (without `v_`); testing has none."""
    return {
        "version": "VERSION 1.3",
        "taxonomy": _taxonomy(),
        "database": {video.id: _entry(video) for video in videos},
    }


def caption_annotations(videos: list[Video], annotator: int, seed: int) -> dict[str, Any]:
    """ActivityNet Captions' file of one annotator.

    Args:
        videos: those that are captioned.
        annotator: 1 marks the times as they are; 2 puts them a little off, and words everything anew.
        seed: of the corpus.
    """
    return {video.name: _captions(video, annotator, seed) for video in videos}


def of_subset(videos: list[Video], subset: str) -> list[Video]:
    """The videos of one official subset."""
    return [video for video in videos if video.subset == subset]


def second_annotators_videos(videos: list[Video]) -> list[Video]:
    """The second annotator misses one video in 25, as in ActivityNet Captions."""
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


def _entry(video: Video) -> dict[str, Any]:
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


def _captions(video: Video, annotator: int, seed: int) -> dict[str, Any]:
    rng = random.Random(f"captions {seed} {video.id} {annotator}")
    duration = round(video.duration, 2)
    timestamps = [_times(event, annotator, duration, rng) for event in video.events]
    sentences = [describe(event, rng, first=index == 0) for index, event in enumerate(video.events)]
    return {"duration": duration, "timestamps": timestamps, "sentences": sentences}


def _times(event: Event, annotator: int, duration: float, rng: random.Random) -> list[float]:
    if annotator == 1:
        return [round(event.start, 2), round(event.end, 2)]
    moved = [time + _disagreement(rng) for time in (event.start, event.end)]
    return [round(min(max(time, 0.0), duration), 2) for time in moved]


def _disagreement(rng: random.Random) -> float:
    return rng.choice([-1, 1]) * rng.uniform(SHORTEST_DISAGREEMENT, LONGEST_DISAGREEMENT)
