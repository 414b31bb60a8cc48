"""The plan of the demo: motions, times, colours and sounds of all videos.

Everything follows from the seed. The action class of a video is its motion. Colour, shape, number, size, speed and
sound are drawn for each event, evenly, and independently of the motion and of one another.
"""

import random
import string
from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Generic, TypeVar

from pipeline.config.make_demo import MakeDemo
from pipeline.demo.motions import MOTIONS
from pipeline.demo.render import DAMAGES, FORMATS, RATES, SIZES, SUFFIXES, VARIABLE
from pipeline.demo.scene import (
    COLOURS,
    RADII,
    SHAPES,
    SOUNDS,
    SPEEDS,
    Background,
    Distractor,
    Event,
    ObjectGroup,
    VideoPlan,
)

T = TypeVar("T")

MIN_DURATION, MAX_DURATION = 10.0, 30.0
"""Duration of a video (seconds)."""


class BalancedSampler(Generic[T]):
    """Samples values without replacement, again from all values when none is left: all values are equally frequent."""

    def __init__(self, values: Sequence[T], rng: random.Random) -> None:
        self._values, self._rng = list(values), rng
        self._remaining: list[T] = []

    def sample(self) -> T:
        """Return the next value."""
        if not self._remaining:
            self._remaining = self._rng.sample(self._values, len(self._values))
        return self._remaining.pop()


def plan_videos(config: MakeDemo) -> list[VideoPlan]:
    """Plan all videos: first the training set, then validation and testing."""
    planner = _VideoPlanner(random.Random(f"world {config.seed}"))
    subsets = ["training"] * config.train_videos + ["validation"] * config.val_videos + ["testing"] * config.test_videos
    ids = _ids(random.Random(f"ids {config.seed}"))
    damages = [list(DAMAGES)[index % len(DAMAGES)] for index in range(config.broken_videos)]
    # Damaged files are evenly spaced in the training set.
    damage_of = {index * config.train_videos // len(damages): damage for index, damage in enumerate(damages)}
    return [planner.plan(next(ids), subset, damage_of.get(index)) for index, subset in enumerate(subsets)]


def _ids(rng: random.Random) -> Iterator[str]:
    """Generate distinct ids; one in 25 starts with a hyphen, which every command line must handle."""
    letters = string.ascii_letters + string.digits + "-_"
    seen: set[str] = set()
    while True:
        first = "-" if len(seen) % 25 == 2 else rng.choice(letters)
        name = first + "".join(rng.choices(letters, k=10))
        if name not in seen:
            seen.add(name)
            yield name


class _VideoPlanner:
    """Plans videos one after the other, with samplers that all videos share."""

    def __init__(self, rng: random.Random) -> None:
        def sampler(values: Sequence[T]) -> BalancedSampler[T]:
            return BalancedSampler(values, random.Random(rng.getrandbits(64)))

        self._rng = rng
        self._motions = sampler(list(MOTIONS))
        self._suffixes = sampler(SUFFIXES)
        self._rates = sampler(RATES)
        self._sizes = sampler(SIZES)
        self._audio = sampler([True, True, True, False])
        self._event_groups = _GroupPlanner(random.Random(rng.getrandbits(64)))
        self._background_groups = _GroupPlanner(random.Random(rng.getrandbits(64)))
        self._speeds = sampler(list(SPEEDS))
        self._sounds = sampler(SOUNDS)

    def plan(self, name: str, subset: str, damage: str | None) -> VideoPlan:
        """Plan one video."""
        motion, audio = self._motions.sample(), self._audio.sample()
        suffix, rate = self._suffixes.sample(), self._rates.sample()
        width, height = self._sizes.sample()
        if damage:
            # In this format every kind of damage is detected for certain.
            suffix, rate, audio = ".mp4", "25", True
        variable = rate == VARIABLE and FORMATS[suffix].variable
        grid = Fraction(30 if rate == VARIABLE else rate)
        rng = self._rng
        times, end = _schedule(rng)
        portrait = width < height
        level = rng.randint(100, 150)
        return VideoPlan(
            id=name,
            subset=subset,
            suffix=suffix,
            rate=grid,
            variable=variable,
            width=width,
            height=height,
            frames=round(end * grid),
            audio=audio,
            motion=motion,
            events=tuple(self._event(motion, start, stop, portrait, audio) for start, stop in times),
            backgrounds=tuple(self._background(start, stop, portrait) for start, stop in _gaps(times, end)),
            grey=(level + rng.randint(-12, 12), level + rng.randint(-12, 12)),
            distractors=tuple(plan_distractor(rng, level) for _ in range(rng.randint(2, 3))),
            noise_seed=rng.getrandbits(32),
            damage=damage,
        )

    def _event(self, motion: str, start: float, end: float, portrait: bool, audio: bool) -> Event:
        speed = self._speeds.sample()
        sound = self._sounds.sample()
        return Event(
            start=start,
            end=end,
            group=self._event_groups.plan(portrait),
            motion=motion,
            speed=speed,
            period=SPEEDS[speed] * MOTIONS[motion].period_factor * self._rng.uniform(0.92, 1.08),
            phase=self._rng.random(),
            direction=self._rng.choice([-1, 1]),
            sound=sound if audio else None,
        )

    def _background(self, start: float, end: float, portrait: bool) -> Background:
        moves = self._rng.random() < 0.5
        velocity = (self._rng.uniform(-0.03, 0.03), self._rng.uniform(-0.03, 0.03)) if moves else (0.0, 0.0)
        return Background(start, end, self._background_groups.plan(portrait), velocity)


class _GroupPlanner:
    """Plans groups; all numbers, colours, shapes and sizes are equally frequent."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._numbers = BalancedSampler([1, 2, 3], rng)
        self._colours = BalancedSampler(list(COLOURS), rng)
        self._shapes = BalancedSampler(SHAPES, rng)
        self._sizes = BalancedSampler(list(RADII), rng)

    def plan(self, portrait: bool) -> ObjectGroup:
        """Plan one group; three big objects, or three in a portrait frame, only fit as a triangle."""
        number, size = self._numbers.sample(), self._sizes.sample()
        must_stack = number == 3 and (size == "big" or portrait)
        return ObjectGroup(
            number=number,
            colour=self._colours.sample(),
            shape=self._shapes.sample(),
            size=size,
            stacked=self._rng.random() < 0.4 or must_stack,
            shift_x=self._rng.uniform(-0.05, 0.05),
            shift_y=self._rng.uniform(-0.04, 0.04),
            tilt=self._rng.uniform(-0.15, 0.15),
        )


def _schedule(rng: random.Random) -> tuple[list[tuple[float, float]], float]:
    """Draw two to four events of 3 to 7 s, with at least 1.5 s before, between and after them.

    Returns:
        Start and end of each event, and the end of the video (seconds).
    """
    while True:
        now = rng.triangular(1.5, 3.0, 1.6)
        times = []
        for _ in range(rng.choices([2, 3, 4], [0.6, 0.3, 0.1])[0]):
            end = now + 3 + 4 * rng.betavariate(1.5, 2.5)
            times.append((now, end))
            now = end + rng.triangular(1.5, 3.0, 1.6)
        if MIN_DURATION <= now <= MAX_DURATION - 0.1:
            return times, now


def _gaps(times: list[tuple[float, float]], end: float) -> list[tuple[float, float]]:
    """Return the intervals before, between and after the events."""
    starts = [0.0] + [stop for _, stop in times]
    return list(zip(starts, [start for start, _ in times] + [end], strict=True))


def plan_distractor(rng: random.Random, level: int) -> Distractor:
    """Plan a grey object.

    Args:
        rng: random numbers.
        level: grey level of the backdrop, from which the object differs.
    """
    return Distractor(
        shape=rng.choice(SHAPES),
        grey=level + rng.choice([-1, 1]) * rng.randint(14, 32),
        radius=rng.uniform(0.1, 0.25),
        start=(rng.random(), rng.random()),
        velocity=(rng.uniform(-0.05, 0.05), rng.uniform(-0.05, 0.05)),
        tilt=rng.uniform(0, 6.28),
    )
