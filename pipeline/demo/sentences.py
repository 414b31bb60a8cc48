"""What annotators write about an event: several templates and synonyms, and ActivityNet Captions' untidiness.

Most captions name motion, colour, shape and number. Size, speed and sound can be perceived every time, but an annotator
names each of them in half of the captions or fewer: the likeliest caption leaves them out, while METEOR, which weighs
recall by 0.85 and precision by 0.15, prefers one that says them all. So it is with people who describe a video, and it
is what self-critical training and the choice by concepts live on.

"Two" is a numeral to a tagger, "a pair of" holds a noun: both occur, so that number is a concept too.
"""

import random
from dataclasses import dataclass
from typing import TypeVar

from pipeline.demo.motions import MOTIONS, Verb
from pipeline.demo.scene import Event

T = TypeVar("T")

_NAMED = 0.45
"""How often an annotator names the size, and how often the speed."""

# The commoner word stands first, or more often.
_NUMBERS = {1: ("a", "one", "a single"), 2: ("two", "a pair of"), 3: ("three", "a trio of")}
_SHAPES = {
    "ring": (("ring", "rings"), ("hoop", "hoops")),
    "square": (("square", "squares"), ("box", "boxes")),
    "triangle": (("triangle", "triangles"), ("triangle", "triangles")),
    "cross": (("cross", "crosses"), ("cross", "crosses")),
}
_SIZES = {"small": ("small", "little"), "big": ("big", "large")}
_SPEEDS = {"slow": ("slowly", "slowly"), "fast": ("quickly", "rapidly")}
_SOUNDS = {
    "beep": ("while a tone beeps", "with a beeping tone"),
    "buzz": ("while a buzzer sounds", "with a loud buzz"),
    "drum": ("while drums play", "to the beat of a drum"),
    "silence": ("in silence", "without any sound"),
}


@dataclass(frozen=True)
class _Parts:
    """The pieces of one caption.

    Attributes:
        number: with its article: "two", "a pair of", "some".
        looks: size and colour, as far as they are named.
        noun: the shape.
        verb: the motion.
        adverb: the speed, or nothing.
        sound: a closing phrase, or nothing.
        single: whether the sentence is about one object.
    """

    number: str
    looks: tuple[str, ...]
    noun: str
    verb: Verb
    adverb: str
    sound: str
    single: bool

    @property
    def who(self) -> str:
        return " ".join((self.number, *self.looks, self.noun))

    @property
    def are(self) -> str:
        return "is" if self.single else "are"

    def doing(self, verb: str) -> str:
        return " ".join(word for word in (verb, self.adverb, self.verb.tail, self.sound) if word)

    @property
    def moving(self) -> str:
        return self.doing(self.verb.ing)

    @property
    def moves(self) -> str:
        return self.doing(self.verb.singular if self.single else self.verb.plural)


def describe(event: Event, rng: random.Random, *, first: bool) -> str:
    """One annotator's sentence about an event.

    Args:
        event: what happens.
        rng: decides on the wording.
        first: whether it is the first caption of the video; later ones may begin with "Then" and a blank.
    """
    parts = _choose(event, rng)
    sentence = rng.choice(_TEMPLATES)(parts)
    if not first and rng.random() < 0.15:
        sentence = f"then {sentence}"
    if rng.random() < 0.9:
        sentence = sentence[0].upper() + sentence[1:]
    if rng.random() < 0.85:
        sentence += "."
    return f" {sentence}" if not first and rng.random() < 0.6 else sentence


def _choose(event: Event, rng: random.Random) -> _Parts:
    group = event.group
    single = group.number == 1
    number = rng.choice(_NUMBERS[group.number])
    if rng.random() < 0.07:
        number = "the" if single else "some"
    looks = []
    if rng.random() < _NAMED:
        looks.append(rng.choice(_SIZES[group.size]))
    if rng.random() < 0.95:
        looks.append(group.colour)
    noun = _mostly_first(_SHAPES[group.shape], rng)
    # Silence is less worth a word than a sound.
    heard = 0.2 if event.sound == "silence" else 0.5
    return _Parts(
        number=number,
        looks=tuple(looks),
        noun=noun[0] if single else noun[1],
        verb=_mostly_first(MOTIONS[event.motion].verbs, rng),
        adverb=rng.choice(_SPEEDS[event.speed]) if rng.random() < _NAMED else "",
        sound=rng.choice(_SOUNDS[event.sound]) if event.sound and rng.random() < heard else "",
        single=single,
    )


def _mostly_first(values: tuple[T, T], rng: random.Random) -> T:
    return values[0] if rng.random() < 0.75 else values[1]


def _are_moving(parts: _Parts) -> str:
    return f"{parts.who} {parts.are} {parts.moving}"


def _move(parts: _Parts) -> str:
    return f"{parts.who} {parts.moves}"


def _there_are(parts: _Parts) -> str:
    return f"there {parts.are} {parts.who} {parts.moving}"


def _we_see(parts: _Parts) -> str:
    return f"we see {parts.who} {parts.moving}"


def _can_be_seen(parts: _Parts) -> str:
    return f"{parts.who} can be seen {parts.moving}"


def _start(parts: _Parts) -> str:
    return f"{parts.who} {'starts' if parts.single else 'start'} {parts.moving}"


def _looks_after(parts: _Parts) -> str:
    looks = f", {' and '.join(parts.looks)}," if parts.looks else ""
    return f"{parts.number} {parts.noun}{looks} {parts.are} {parts.moving}"


_TEMPLATES = (_are_moving, _are_moving, _move, _move, _there_are, _we_see, _can_be_seen, _start, _looks_after)
