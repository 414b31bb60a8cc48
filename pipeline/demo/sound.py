"""The audio track: a beep, a buzz or drums during an event, faint noise otherwise."""

import wave
from collections.abc import Callable
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int16

from pipeline.demo.scene import VideoPlan

RATE = 16000
"""Sample rate (Hz)."""

Wave = Float[np.ndarray, " samples"]


def write_sound(video: VideoPlan, path: Path) -> None:
    """Write the audio track of a video as a mono 16-bit WAV."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(soundtrack(video).astype("<i2").tobytes())


def soundtrack(video: VideoPlan) -> Int16[np.ndarray, " samples"]:
    """Compute the audio track of a video."""
    rng = np.random.default_rng(video.noise_seed)
    track = 0.002 * rng.standard_normal(round(video.duration * RATE))
    for event in video.events:
        if event.sound in _SOUNDS:
            start, stop = round(event.start * RATE), round(event.end * RATE)
            times = np.arange(stop - start) / RATE
            # Fades of 20 ms avoid a click at the start and end of an event.
            fade = np.clip(np.minimum(times, times[::-1]) / 0.02, 0, 1)
            track[start:stop] += 0.4 * fade * _SOUNDS[event.sound](times)
    samples: Int16[np.ndarray, " samples"] = np.rint(32767 * np.clip(track, -1, 1)).astype(np.int16)
    return samples


def _beep(times: Wave) -> Wave:
    """Return a pure tone that is on for half of each 0.5 s."""
    return np.sin(2 * np.pi * 880 * times) * (times % 0.5 < 0.25)


def _buzz(times: Wave) -> Wave:
    """Return a low square wave."""
    return 0.7 * np.sign(np.sin(2 * np.pi * 110 * times))


def _drum(times: Wave) -> Wave:
    """Return decaying strokes, one every 0.4 s."""
    elapsed = times % 0.4
    return np.exp(-elapsed / 0.06) * np.sin(2 * np.pi * (70 * elapsed + 3 * np.exp(-elapsed / 0.03)))


_SOUNDS: dict[str | None, Callable[[Wave], Wave]] = {"beep": _beep, "buzz": _buzz, "drum": _drum}
"""Waveform of each sound; silence has none."""
