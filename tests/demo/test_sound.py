"""Audio tracks of the demo."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from pipeline.config.make_demo import MakeDemo
from pipeline.demo.plan import plan_videos
from pipeline.demo.scene import SOUNDS, VideoPlan
from pipeline.demo.sound import RATE, soundtrack


def with_sound(sound: str) -> VideoPlan:
    audible: Iterator[VideoPlan] = (video for video in plan_videos(MakeDemo()) if video.audio)
    video = next(audible)
    return replace(video, events=tuple(replace(event, sound=sound) for event in video.events))


@pytest.mark.parametrize("sound", SOUNDS)
def test_soundtrack_is_loud_during_events_only(sound: str) -> None:
    video = with_sound(sound)
    track = soundtrack(video).astype(float) / 32767
    assert len(track) == round(video.duration * RATE)
    event = video.events[0]
    loud = np.sqrt(np.mean(track[round(event.start * RATE) : round(event.end * RATE)] ** 2))
    quiet = np.sqrt(np.mean(track[: round(event.start * RATE) - 1] ** 2))
    assert quiet < 0.01
    assert (loud > 0.05) == (sound != "silence")


def test_soundtrack_spectra_of_the_sounds_differ() -> None:
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
