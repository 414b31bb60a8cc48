"""What ffmpeg shows of a film is what we see, for hundreds of tiny films: frames, times, pictures and sound."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from helpers.campaigns import quick_cases
from helpers.film_matrix import (
    CONTAINERS,
    FilmCase,
    list_all_formats,
    list_formats,
    list_odd_streams,
    list_odd_times,
    list_turns,
)
from helpers.films import digest_image, find_beeps, judge_beeps, judge_frames, read_corners, read_number
from helpers.measurements import Measurements

from pipeline.video.media_streams import NoAudioError
from pipeline.video.stream import iter_audio, iter_frames

RATE = 16000
"""Sample rate of the sound (samples/s)."""
MAX_OFFSET_S = 0.05
"""Largest difference of the times of a beep (seconds)."""


def compare_frames(case: FilmCase, path: Path, threads: int) -> Iterator[str | None]:
    """Compare the frames that we see with those of ffmpeg, and with what was drawn; None stands for an equality."""
    frames = list(iter_frames(path, threads=threads))
    displayed = [(frame.time, frame.digest) for frame in judge_frames(path, *case.mapping)]
    # ffmpeg writes no time that goes back: there it repeats the time before.
    times = itertools.accumulate((frame.time for frame in frames), max)
    ours = [(time, digest_image(frame.to_rgb())) for time, frame in zip(times, frames, strict=True)]
    for frame, other in itertools.zip_longest(ours, displayed):
        is_same = frame == other or (not case.exact and frame and other and frame[0] == other[0])
        yield None if is_same else f"frame {frame}, not {other}"
    corners = {read_corners(frame.to_rgb()) for frame in frames}
    yield None if corners == {case.corners} else f"corners {corners}"
    if case.numbers is not None:
        numbers = [read_number(frame.to_rgb()) for frame in frames]
        yield None if numbers == list(case.numbers) else f"numbers {numbers}"


def compare_sound(case: FilmCase, path: Path) -> Iterator[str | None]:
    """Compare the times of the beeps that we hear with those of ffmpeg; None stands for an equality."""
    try:
        beeps = find_beeps(np.concatenate(list(iter_audio(path, RATE))), RATE)
    except NoAudioError:
        return
    judged = judge_beeps(path)
    yield None if len(beeps) == len(judged) == case.beeps else f"beeps at {beeps}, not {judged}"
    for ours, other in zip(beeps, judged, strict=False):
        yield None if abs(ours - other) <= MAX_OFFSET_S else f"a beep at {ours:.3f} s, not {other:.3f} s"


def check_films(cases: list[FilmCase], group: str, folder: Path, measurements: Measurements) -> None:
    """Compare all films of a group; no comparison may show a difference."""
    count, differences = 0, []
    for index, case in enumerate(cases):
        path = folder / f"{case.name}.{case.suffix}".replace(":", " ")
        case.write(path)
        for difference in itertools.chain(compare_frames(case, path, 1 + index % 3), compare_sound(case, path)):
            count += 1
            differences += [f"{path.name}: {difference}"] if difference else []
    measurements.add_row("films", group=group, films=len(cases), comparisons=count, differences=len(differences))
    assert not differences


@pytest.mark.parametrize("container", CONTAINERS)
def test_films_of_each_container_are_what_ffmpeg_shows(
    container: str, tmp_path: Path, measurements: Measurements
) -> None:
    check_films(list_formats(container), container, tmp_path, measurements)


@pytest.mark.campaign
@pytest.mark.parametrize("container", CONTAINERS)
def test_films_of_all_codecs_of_each_container_are_what_ffmpeg_shows(
    container: str, tmp_path: Path, measurements: Measurements
) -> None:
    check_films(list_all_formats(container), f"all of {container}", tmp_path, measurements)


def list_turns_of_mp4() -> list[FilmCase]:
    return [case for case in list_turns() if case.suffix == "mp4"]


@pytest.mark.parametrize(
    "list_cases", quick_cases([list_turns_of_mp4, list_turns, list_odd_streams, list_odd_times], 1)
)
def test_odd_films_are_what_ffmpeg_shows(list_cases: object, tmp_path: Path, measurements: Measurements) -> None:
    assert callable(list_cases)
    group = list_cases.__name__.removeprefix("list_").replace("_", " ")
    check_films(list_cases(), group, tmp_path, measurements)
