import random
from collections import Counter
from statistics import mean

import pytest

from pipeline.config.make_demo import MakeDemo
from pipeline.datasets.text import words
from pipeline.demo.motions import MOTIONS
from pipeline.demo.scene import COLOURS, Event
from pipeline.demo.sentences import describe
from pipeline.demo.world import make_world

SYNONYMS = {"hoop": "ring", "hoops": "ring", "rings": "ring", "box": "square", "boxes": "square"}
SYNONYMS |= {
    "squares": "square",
    "triangles": "triangle",
    "crosses": "cross",
    "little": "small",
    "large": "big",
}
SYNONYMS |= {"slowly": "slow", "quickly": "fast", "rapidly": "fast"}
SYNONYMS |= {"a": "1", "one": "1", "single": "1", "two": "2", "pair": "2", "three": "3", "trio": "3"}
HEARD = {"beeps", "beeping", "buzz", "buzzer", "drum", "drums", "silence", "sound"}


@pytest.fixture(scope="module")
def events() -> list[Event]:
    videos = make_world(MakeDemo(train_videos=200, val_videos=3, broken_videos=0))
    return [event for video in videos for event in video.events]


def said(event: Event, seed: int) -> str:
    return describe(event, random.Random(seed), first=False)


def overlap(one: str, other: str) -> float:
    """Shared words over all words of the two, both once."""
    first, second = set(words(one)), set(words(other))
    return len(first & second) / len(first | second)


def test_a_caption_tells_what_is_there_and_never_anything_else(events: list[Event]) -> None:
    for index, event in enumerate(events):
        told = {SYNONYMS.get(word, word) for word in words(said(event, index))}
        assert told & set(COLOURS) <= {event.group.colour}
        assert told & {"ring", "square", "triangle", "cross"} == {event.group.shape}
        assert told & {"small", "big"} <= {event.group.size}
        assert {"2", "3"} & told <= {str(event.group.number)}
        assert told & {"slow", "fast"} <= {event.speed}


def test_most_captions_name_colour_number_and_motion_and_fewer_than_half_the_rest(events: list[Event]) -> None:
    named: Counter[str] = Counter()
    for index, event in enumerate(events):
        told = {SYNONYMS.get(word, word) for word in words(said(event, index))}
        verbs = MOTIONS[event.motion].verbs
        named["colour"] += event.group.colour in told
        named["number"] += str(event.group.number) in told
        named["size"] += event.group.size in told
        named["speed"] += event.speed in told
        named["sound"] += bool(HEARD & told)
        named["motion"] += any(
            told & {*verb.plural.split(), *verb.singular.split(), *verb.ing.split()} - {"and"} for verb in verbs
        )
    share = {name: count / len(events) for name, count in named.items()}
    assert share["motion"] == 1
    assert share["colour"] > 0.9
    assert share["number"] > 0.85
    # What METEOR rewards and the likeliest caption leaves out.
    assert 0.35 < share["size"] < 0.5
    assert 0.35 < share["speed"] < 0.5
    assert 0.2 < share["sound"] < 0.5


def test_captions_are_about_as_long_as_in_activitynet_and_use_a_small_vocabulary(events: list[Event]) -> None:
    sentences = [said(event, seed) for event in events for seed in (1, 2)]
    assert 8 <= mean(len(words(sentence)) for sentence in sentences) <= 14
    assert 80 <= len({word for sentence in sentences for word in words(sentence)}) <= 130


def test_captions_are_as_untidy_as_real_ones(events: list[Event]) -> None:
    sentences = [said(event, index) for index, event in enumerate(events)]
    for untidy in (
        lambda sentence: sentence.startswith(" "),
        lambda sentence: sentence.strip()[0].islower(),
        lambda sentence: not sentence.endswith("."),
    ):
        assert 0 < sum(map(untidy, sentences)) < len(sentences)
    firsts = [describe(event, random.Random(index), first=True) for index, event in enumerate(events)]
    assert not any(sentence.startswith((" ", "Then", "then")) for sentence in firsts)


def test_two_annotators_agree_on_an_event_far_more_than_on_different_events(events: list[Event]) -> None:
    """So that a metric on words can tell right attributes from wrong ones in another wording."""
    same = mean(overlap(said(event, 1), said(event, 2 + index)) for index, event in enumerate(events))
    shuffled = random.Random(0).sample(events, len(events))
    different = mean(
        overlap(said(one, 1), said(other, 2 + index))
        for index, (one, other) in enumerate(zip(events, shuffled, strict=True))
    )
    assert same > 2 * different


def test_sounds_are_mentioned_only_where_there_is_one(events: list[Event]) -> None:
    mentions = Counter(event.sound for index, event in enumerate(events) if HEARD & set(words(said(event, index))))
    assert set(mentions) == {"beep", "buzz", "drum", "silence"}
