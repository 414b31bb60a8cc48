"""Videos of acts: their plans, their frames, and their annotations in the formats of Something-Something v2."""

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from typing import Any

import numpy as np
from jaxtyping import UInt8

from pipeline.config.make_acts import MakeActs
from pipeline.demo.acts import ACTS, ActSpace
from pipeline.demo.draw import DrawnObject, distractor_objects, draw_objects
from pipeline.demo.motions import Pose, Times
from pipeline.demo.plan import BalancedSampler, plan_distractor
from pipeline.demo.scene import COLOURS, SHAPES, VideoPlan

FPS = 12
WIDTH, HEIGHT = 128, 96
RADII = {"small": 0.13, "big": 0.18}
"""Radius of an object; a small one is named by its size, a big one is not."""
NOUNS = {"red": "tomato", "green": "leaf", "blue": "jar", "yellow": "lemon"}
"""What an object of each colour is called: the last word of its placeholder, which a simplified caption keeps."""
ADJECTIVES = {"ring": "round", "square": "square", "triangle": "triangular", "cross": "crossed"}
"""Word for each shape."""
MIN_SECONDS, MAX_SECONDS = 2.0, 4.0


@dataclass(frozen=True)
class ActObject:
    """An object of an act.

    Attributes:
        colour: key of `NOUNS`.
        shape: one of `SHAPES`.
        size: key of `RADII`.
        placeholder: how the actor calls it.
    """

    colour: str
    shape: str
    size: str
    placeholder: str


@dataclass(frozen=True)
class ActPlan(VideoPlan):
    """A video of one act.

    Attributes:
        act: key of `ACTS`.
        objects: in the order of the template's slots.
        space: place of the act.
        start: when the act begins, as a fraction of the video.
        end: when it ends.
    """

    act: str
    objects: tuple[ActObject, ...]
    space: ActSpace
    start: float
    end: float

    @property
    def name(self) -> str:
        """Id of the video, a number as in Something-Something, and name of its file."""
        return self.id

    @property
    def template(self) -> str:
        """Template of the act."""
        return ACTS[self.act].template


def plan_acts(config: MakeActs) -> list[ActPlan]:
    """Plan all videos from the seed; all classes, colours, shapes and sizes are equally frequent."""
    rng = random.Random(f"acts {config.seed}")
    acts = BalancedSampler(list(ACTS), random.Random(rng.getrandbits(64)))
    objects = _ObjectPlanner(random.Random(rng.getrandbits(64)))
    subsets = ["training"] * config.train_videos + ["validation"] * config.val_videos
    numbers = rng.sample(range(1000, 1000 + 10 * len(subsets)), len(subsets))
    return [
        _plan(rng, str(number), subset, acts.sample(), objects) for number, subset in zip(numbers, subsets, strict=True)
    ]


class _ObjectPlanner:
    """Plans objects one after the other."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._colours = BalancedSampler(list(NOUNS), rng)
        self._shapes = BalancedSampler(SHAPES, rng)
        self._sizes = BalancedSampler(list(RADII), rng)

    def plan(self, taken_colours: set[str]) -> ActObject:
        """Plan an object of a colour that no other object of its video has."""
        colour = self._colours.sample()
        while colour in taken_colours:
            colour = self._colours.sample()
        shape, size = self._shapes.sample(), self._sizes.sample()
        return ActObject(colour, shape, size, self._placeholder(colour, shape, size))

    def _placeholder(self, colour: str, shape: str, size: str) -> str:
        words = ["a", *(["small"] if size == "small" else []), ADJECTIVES[shape], colour, NOUNS[colour]]
        text = " ".join(words)
        return text.upper() if self._rng.random() < 0.03 else text  # actors write as they like


def _plan(rng: random.Random, number: str, subset: str, name: str, planner: _ObjectPlanner) -> ActPlan:
    objects: list[ActObject] = []
    for _ in range(ACTS[name].num_objects):
        objects.append(planner.plan({one.colour for one in objects}))
    level = rng.randint(100, 150)
    width = WIDTH / HEIGHT
    space = ActSpace(
        x=width / 2 + rng.uniform(-0.06, 0.06),
        y=0.5 + rng.uniform(-0.06, 0.06),
        direction=rng.choice([-1, 1]),
        reach=rng.uniform(0.3, 0.4),
    )
    return ActPlan(
        id=number,
        subset=subset,
        suffix=".webm",
        rate=Fraction(FPS),
        variable=False,
        width=WIDTH,
        height=HEIGHT,
        frames=round(rng.uniform(MIN_SECONDS, MAX_SECONDS) * FPS),
        audio=False,
        motion="",
        events=(),
        backgrounds=(),
        grey=(level + rng.randint(-12, 12), level + rng.randint(-12, 12)),
        distractors=tuple(plan_distractor(rng, level) for _ in range(rng.randint(1, 2))),
        noise_seed=0,
        damage=None,
        act=name,
        objects=tuple(objects),
        space=space,
        start=rng.uniform(0.05, 0.2),
        end=rng.uniform(0.8, 0.95),
    )


def draw_act(video: ActPlan) -> Iterator[UInt8[np.ndarray, "times height width 3"]]:
    """Draw all frames of a video of an act, in chunks."""
    width = video.width / video.height
    act = ACTS[video.act]
    order = sorted(range(len(video.objects)), key=lambda index: index == act.front)
    drawn = distractor_objects(video, width, 1.0)
    drawn += [
        _drawn_object(video.objects[index], act.scales[index], partial(_act_pose, video, index)) for index in order
    ]
    return draw_objects(video, drawn)


def _drawn_object(planned: ActObject, scale: float, pose: Any) -> DrawnObject:
    return DrawnObject(planned.shape, RADII[planned.size] * scale, COLOURS[planned.colour], -math.inf, math.inf, pose)


def _act_pose(video: ActPlan, index: int, times: Times) -> Pose:
    """Return the poses of an object of the act; a hand that is never quite still holds it."""
    fractions = times / video.duration
    progress = np.clip((fractions - video.start) / (video.end - video.start), 0, 1)
    pose = ACTS[video.act].moves(progress, video.space)[index]
    phase = int(video.id) + 2.1 * index
    tremble_x, tremble_y = 0.008 * np.sin(9 * times + phase), 0.008 * np.sin(11 * times + 2 * phase)
    return pose._replace(x=pose.x + tremble_x, y=pose.y + tremble_y)


def act_annotations(videos: list[ActPlan]) -> list[dict[str, Any]]:
    """Build the content of Something-Something's file of some videos."""
    entries = []
    for video in videos:
        placeholders = [planned.placeholder for planned in video.objects]
        label = video.template
        for text in placeholders:
            label = label.replace("[something]", text, 1)
        entries.append(
            {"id": video.id, "label": label.lower(), "template": video.template, "placeholders": placeholders}
        )
    return entries


def act_classes() -> dict[str, str]:
    """Build the content of labels.json: name of each class, without brackets, and its number as text."""
    names = sorted(act.template.replace("[", "").replace("]", "") for act in ACTS.values())
    return {name: str(number) for number, name in enumerate(names)}


def act_groups() -> dict[str, str]:
    """Build the file of groups: template of each class and its group."""
    return {act.template: act.group for act in ACTS.values()}
