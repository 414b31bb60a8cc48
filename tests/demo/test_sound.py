from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from pipeline.config.make_demo import MakeDemo
from pipeline.demo.scene import SOUNDS, Video
from pipeline.demo.sound import RATE, soundtrack
from pipeline.demo.world import make_world


def with_sound(sound: str) -> Video:
    audible: Iterator[Video] = (video for video in make_world(MakeDemo()) if video.audio)
    video = next(audible)
    return replace(video, events=tuple(replace(event, sound=sound) for event in video.events))


@pytest.mark.parametrize("sound", SOUNDS)
def test_a_sound_is_heard_during_the_event_alone(sound: str) -> None:
    video = with_sound(sound)
    track = soundtrack(video).astype(float) / 32767
    assert len(track) == round(video.duration * RATE)
    event = video.events[0]
    loud = np.sqrt(np.mean(track[round(event.start * RATE) : round(event.end * RATE)] ** 2))
    quiet = np.sqrt(np.mean(track[: round(event.start * RATE) - 1] ** 2))
    assert quiet < 0.01
    assert (loud > 0.05) == (sound != "silence")


def test_sounds_differ_in_their_spectrum() -> None:
    peaks = {}
    for sound in ("beep", "buzz", "drum"):
        video = with_sound(sound)
        event = video.events[0]
        part = soundtrack(video)[round(event.start * RATE) : round(event.end * RATE)]
        power = np.abs(np.fft.rfft(part.astype(float)))
        peaks[sound] = float(np.argmax(power)) * RATE / len(part)
    assert peaks["beep"] == pytest.approx(880, abs=5)
    assert peaks["buzz"] == pytest.approx(110, abs=5)
    assert peaks["drum"] < 100
