"""Captions of events: several templates and synonyms, with the irregularities of ActivityNet Captions.

Most captions name motion, colour, shape and number. Size, speed and sound are always perceivable, but an annotator
names each of them in less than half of the captions. So the most likely caption omits them. METEOR weighs recall by
0.85 and precision by 0.15, so it prefers a caption that names them all. People describe real videos in the same way.
Self-critical training and the selection by concepts can gain from it.

"Two" is a numeral for a tagger, "a pair of" contains a noun. Both occur, so the number is a concept too.
"""

import random
from dataclasses import dataclass
from typing import TypeVar

from pipeline.demo.motions import MOTIONS, Verb
from pipeline.demo.scene import Event

T = TypeVar("T")

_MENTION_PROB = 0.45
"""Probability that an annotator names the size; the same for the speed."""

# The more frequent word comes first, or occurs more often.
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
    """The parts of one caption.

    Attributes:
        number: number with its article: "two", "a pair of", "some".
        adjectives: size and colour, if they are named.
        noun: the shape.
        verb: the motion.
        adverb: the speed, or empty.
        sound: a closing phrase, or empty.
        singular: whether the caption is about one object.
    """

    number: str
    adjectives: tuple[str, ...]
    noun: str
    verb: Verb
    adverb: str
    sound: str
    singular: bool

    @property
    def subject(self) -> str:
        return " ".join((self.number, *self.adjectives, self.noun))

    @property
    def to_be(self) -> str:
        return "is" if self.singular else "are"

    def predicate(self, verb: str) -> str:
        return " ".join(word for word in (verb, self.adverb, self.verb.tail, self.sound) if word)

    @property
    def moving(self) -> str:
        return self.predicate(self.verb.ing)

    @property
    def moves(self) -> str:
        return self.predicate(self.verb.singular if self.singular else self.verb.plural)


def write_caption(event: Event, rng: random.Random, *, first: bool) -> str:
    """Write one annotator's caption of an event.

    Args:
        event: the event.
        rng: random numbers that decide on the wording.
        first: whether it is the first caption of the video; later captions may start with "Then" and with a space.
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
    singular = group.number == 1
    number = rng.choice(_NUMBERS[group.number])
    if rng.random() < 0.07:
        number = "the" if singular else "some"
    adjectives = []
    if rng.random() < _MENTION_PROB:
        adjectives.append(rng.choice(_SIZES[group.size]))
    if rng.random() < 0.95:
        adjectives.append(group.colour)
    noun = _mostly_first(_SHAPES[group.shape], rng)
    # Annotators mention silence less often than a sound.
    sound_prob = 0.2 if event.sound == "silence" else 0.5
    return _Parts(
        number=number,
        adjectives=tuple(adjectives),
        noun=noun[0] if singular else noun[1],
        verb=_mostly_first(MOTIONS[event.motion].verbs, rng),
        adverb=rng.choice(_SPEEDS[event.speed]) if rng.random() < _MENTION_PROB else "",
        sound=rng.choice(_SOUNDS[event.sound]) if event.sound and rng.random() < sound_prob else "",
        singular=singular,
    )


def _mostly_first(values: tuple[T, T], rng: random.Random) -> T:
    return values[0] if rng.random() < 0.75 else values[1]


def _are_moving(parts: _Parts) -> str:
    return f"{parts.subject} {parts.to_be} {parts.moving}"


def _move(parts: _Parts) -> str:
    return f"{parts.subject} {parts.moves}"


def _there_are(parts: _Parts) -> str:
    return f"there {parts.to_be} {parts.subject} {parts.moving}"


def _we_see(parts: _Parts) -> str:
    return f"we see {parts.subject} {parts.moving}"


def _can_be_seen(parts: _Parts) -> str:
    return f"{parts.subject} can be seen {parts.moving}"


def _start(parts: _Parts) -> str:
    return f"{parts.subject} {'starts' if parts.singular else 'start'} {parts.moving}"


def _adjectives_after_noun(parts: _Parts) -> str:
    adjectives = f", {' and '.join(parts.adjectives)}," if parts.adjectives else ""
    return f"{parts.number} {parts.noun}{adjectives} {parts.to_be} {parts.moving}"


_TEMPLATES = (_are_moving, _are_moving, _move, _move, _there_are, _we_see, _can_be_seen, _start, _adjectives_after_noun)
