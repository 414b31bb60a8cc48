"""The plan of the demo: who moves how, when, in which colours, and what is heard.

Everything follows from the seed. The action class is a video's motion; colour, shape, number, size, speed and
sound are drawn for each event, independently of the motion and of one another, and evenly.
"""

import random
import string
from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Generic, TypeVar

from pipeline.config.make_demo import MakeDemo
from pipeline.demo.damage import WAYS
from pipeline.demo.formats import FORMATS, RATES, SIZES, SUFFIXES, VARIABLE
from pipeline.demo.motions import MOTIONS
from pipeline.demo.scene import COLOURS, RADII, SHAPES, SOUNDS, SPEEDS, Blot, Event, Group, Pause, Video

T = TypeVar("T")

SHORTEST, LONGEST = 10.0, 30.0
"""Of a video, seconds."""


class Deck(Generic[T]):
    """Deals values at random, but evenly: all of them once before any comes again."""

    def __init__(self, values: Sequence[T], rng: random.Random) -> None:
        self._values, self._rng = list(values), rng
        self._left: list[T] = []

    def deal(self) -> T:
        """The next value."""
        if not self._left:
            self._left = self._rng.sample(self._values, len(self._values))
        return self._left.pop()


def make_world(config: MakeDemo) -> list[Video]:
    """Plan all videos: those of the training set first, then validation and testing."""
    dealer = _Dealer(random.Random(f"world {config.seed}"))
    subsets = ["training"] * config.train_videos + ["validation"] * config.val_videos + ["testing"] * config.test_videos
    ids = _ids(random.Random(f"ids {config.seed}"))
    ways = [list(WAYS)[index % len(WAYS)] for index in range(config.broken_videos)]
    # Broken files are spread over the training set.
    broken = {index * config.train_videos // len(ways): way for index, way in enumerate(ways)}
    return [dealer.video(next(ids), subset, broken.get(index)) for index, subset in enumerate(subsets)]


def _ids(rng: random.Random) -> Iterator[str]:
    """Distinct ids; one in 25 begins with a hyphen, which every command line has to stand."""
    letters = string.ascii_letters + string.digits + "-_"
    seen: set[str] = set()
    while True:
        first = "-" if len(seen) % 25 == 2 else rng.choice(letters)
        name = first + "".join(rng.choices(letters, k=10))
        if name not in seen:
            seen.add(name)
            yield name


class _Dealer:
    """Draws videos one after the other from decks that they share."""

    def __init__(self, rng: random.Random) -> None:
        def deck(values: Sequence[T]) -> Deck[T]:
            return Deck(values, random.Random(rng.getrandbits(64)))

        self._rng = rng
        self._motions = deck(list(MOTIONS))
        self._suffixes = deck(SUFFIXES)
        self._rates = deck(RATES)
        self._sizes = deck(SIZES)
        self._audio = deck([True, True, True, False])
        self._event_groups = _GroupDealer(random.Random(rng.getrandbits(64)))
        self._pause_groups = _GroupDealer(random.Random(rng.getrandbits(64)))
        self._speeds = deck(list(SPEEDS))
        self._sounds = deck(SOUNDS)

    def video(self, name: str, subset: str, broken: str | None) -> Video:
        """Draw one video."""
        motion, audio = self._motions.deal(), self._audio.deal()
        suffix, rate = self._suffixes.deal(), self._rates.deal()
        width, height = self._sizes.deal()
        if broken:
            # The kind of file in which each way of breaking is sure to be noticed.
            suffix, rate, audio = ".mp4", "25", True
        variable = rate == VARIABLE and FORMATS[suffix].variable
        grid = Fraction(30 if rate == VARIABLE else rate)
        rng = self._rng
        times, end = _schedule(rng)
        portrait = width < height
        level = rng.randint(100, 150)
        return Video(
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
            pauses=tuple(self._pause(start, stop, portrait) for start, stop in _between(times, end)),
            grey=(level + rng.randint(-12, 12), level + rng.randint(-12, 12)),
            blots=tuple(_blot(rng, level) for _ in range(rng.randint(2, 3))),
            noise=rng.getrandbits(32),
            broken=broken,
        )

    def _event(self, motion: str, start: float, end: float, portrait: bool, audio: bool) -> Event:
        speed = self._speeds.deal()
        sound = self._sounds.deal()
        return Event(
            start=start,
            end=end,
            group=self._event_groups.deal(portrait),
            motion=motion,
            speed=speed,
            period=SPEEDS[speed] * MOTIONS[motion].pace * self._rng.uniform(0.92, 1.08),
            phase=self._rng.random(),
            direction=self._rng.choice([-1, 1]),
            sound=sound if audio else None,
        )

    def _pause(self, start: float, end: float, portrait: bool) -> Pause:
        creeps = self._rng.random() < 0.5
        creep = (self._rng.uniform(-0.03, 0.03), self._rng.uniform(-0.03, 0.03)) if creeps else (0.0, 0.0)
        return Pause(start, end, self._pause_groups.deal(portrait), creep)


class _GroupDealer:
    """Draws groups whose looks are balanced."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._numbers = Deck([1, 2, 3], rng)
        self._colours = Deck(list(COLOURS), rng)
        self._shapes = Deck(SHAPES, rng)
        self._sizes = Deck(list(RADII), rng)

    def deal(self, portrait: bool) -> Group:
        """Draw one group; three big ones, or three in a narrow picture, fit as a triangle only."""
        number, size = self._numbers.deal(), self._sizes.deal()
        must_stack = number == 3 and (size == "big" or portrait)
        return Group(
            number=number,
            colour=self._colours.deal(),
            shape=self._shapes.deal(),
            size=size,
            stacked=self._rng.random() < 0.4 or must_stack,
            shift_x=self._rng.uniform(-0.05, 0.05),
            shift_y=self._rng.uniform(-0.04, 0.04),
            tilt=self._rng.uniform(-0.15, 0.15),
        )


def _schedule(rng: random.Random) -> tuple[list[tuple[float, float]], float]:
    """Two to four events of 3 to 7 s with at least 1.5 s before, between and after them.

    Returns:
        start and end of each event, and the end of the video, seconds.
    """
    while True:
        now = rng.triangular(1.5, 3.0, 1.6)
        times = []
        for _ in range(rng.choices([2, 3, 4], [0.6, 0.3, 0.1])[0]):
            end = now + 3 + 4 * rng.betavariate(1.5, 2.5)
            times.append((now, end))
            now = end + rng.triangular(1.5, 3.0, 1.6)
        if SHORTEST <= now <= LONGEST - 0.1:
            return times, now


def _between(times: list[tuple[float, float]], end: float) -> list[tuple[float, float]]:
    """The stretches that events leave free."""
    starts = [0.0] + [stop for _, stop in times]
    return list(zip(starts, [start for start, _ in times] + [end], strict=True))


def _blot(rng: random.Random, level: int) -> Blot:
    return Blot(
        shape=rng.choice(SHAPES),
        grey=level + rng.choice([-1, 1]) * rng.randint(14, 32),
        radius=rng.uniform(0.1, 0.25),
        start=(rng.random(), rng.random()),
        velocity=(rng.uniform(-0.05, 0.05), rng.uniform(-0.05, 0.05)),
        tilt=rng.uniform(0, 6.28),
    )
