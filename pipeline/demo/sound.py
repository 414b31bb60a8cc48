"""What is heard: a beep, a buzz or drums while an event lasts, and next to nothing otherwise."""

import wave
from collections.abc import Callable
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int16

from pipeline.demo.scene import Video

RATE = 16000
"""Samples per second."""

Wave = Float[np.ndarray, " samples"]


def write_sound(video: Video, path: Path) -> None:
    """Write a video's sound as a mono WAV of 16 bits."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(soundtrack(video).astype("<i2").tobytes())


def soundtrack(video: Video) -> Int16[np.ndarray, " samples"]:
    """A video's sound over its whole duration."""
    rng = np.random.default_rng(video.noise)
    track = 0.002 * rng.standard_normal(round(video.duration * RATE))
    for event in video.events:
        if event.sound in _SOUNDS:
            first, stop = round(event.start * RATE), round(event.end * RATE)
            times = np.arange(stop - first) / RATE
            # Faded in and out over 20 ms, so that no event begins with a click.
            fade = np.clip(np.minimum(times, times[::-1]) / 0.02, 0, 1)
            track[first:stop] += 0.4 * fade * _SOUNDS[event.sound](times)
    samples: Int16[np.ndarray, " samples"] = np.rint(32767 * np.clip(track, -1, 1)).astype(np.int16)
    return samples


def _beep(times: Wave) -> Wave:
    """A clear tone, on and off twice a second."""
    return np.sin(2 * np.pi * 880 * times) * (times % 0.5 < 0.25)


def _buzz(times: Wave) -> Wave:
    """A low, rough, steady tone."""
    return 0.7 * np.sign(np.sin(2 * np.pi * 110 * times))


def _drum(times: Wave) -> Wave:
    """Strokes that die away, five in two seconds."""
    since = times % 0.4
    return np.exp(-since / 0.06) * np.sin(2 * np.pi * (70 * since + 3 * np.exp(-since / 0.03)))


_SOUNDS: dict[str | None, Callable[[Wave], Wave]] = {"beep": _beep, "buzz": _buzz, "drum": _drum}
"""The sounds that are made; silence is none of them."""
