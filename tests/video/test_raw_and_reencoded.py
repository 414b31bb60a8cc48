"""A raw film and its re-encoded file show the same frames at the same times, and have the same sound."""

from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from helpers.film_matrix import CONTAINERS, FilmCase, list_formats, list_odd_streams, list_odd_times, list_turns
from helpers.films import find_beeps, read_corners, read_number
from helpers.measurements import Measurements

from pipeline.config.reencode import Reencode
from pipeline.video.constant_rate import hold_frames
from pipeline.video.encode import reencode_video
from pipeline.video.media_streams import NoAudioError
from pipeline.video.reencoded_stream import iter_needed_frames, iter_reencoded_audio
from pipeline.video.stream import iter_audio, iter_frames

FAST = Reencode(preset="ultrafast", crf=10)
FPS = Fraction(30)
RATE = 16000
"""Sample rate of the sound (samples/s)."""
MAX_OFFSET_S = 0.05
"""Largest difference of the times of a beep (seconds)."""


def hear(read: Callable[[Path, int], Iterator[np.ndarray]], path: Path) -> list[float] | None:
    """Return the times of the beeps (seconds); None without sound."""
    try:
        return find_beeps(np.concatenate(list(read(path, RATE))), RATE)
    except NoAudioError:
        return None


def compare(case: FilmCase, path: Path, target: Path) -> Iterator[str | None]:
    """Compare a film with its re-encoded file; None stands for an equality."""
    encoded = reencode_video(path, target, FAST)
    yield None if encoded.damage is None else f"damage {encoded.damage}"
    raw = [frame.to_rgb() for frame in hold_frames(iter_frames(path), FPS)]
    frames = [frame.to_rgb() for frame in iter_needed_frames(target, lambda _: True)]
    yield None if len(raw) == len(frames) == encoded.frames else f"{len(raw)} frames, re-encoded {len(frames)}"
    corners = {read_corners(frame) for frame in frames}
    yield None if corners == {case.corners} else f"corners {corners}"
    if case.numbers is not None:
        pairs = [(read_number(frame), read_number(other)) for frame, other in zip(raw, frames, strict=False)]
        yield None if all(number == other for number, other in pairs) else f"frames {pairs}"
    beeps, encoded_beeps = hear(iter_audio, path), hear(iter_reencoded_audio, target)
    if beeps is None or encoded_beeps is None:
        yield None if beeps is encoded_beeps is None else f"beeps at {beeps}, re-encoded {encoded_beeps}"
        return
    same = beeps == pytest.approx(encoded_beeps, abs=MAX_OFFSET_S)
    yield None if same else f"beeps at {beeps}, re-encoded {encoded_beeps}"


def list_cases() -> dict[str, list[FilmCase]]:
    """Return films by group; one film of each container, and one still of minutes, which takes long."""
    times = [case for case in list_odd_times() if case.name != "still for minutes" or case.suffix == "mkv"]
    return {
        "containers": [list_formats(container)[0] for container in CONTAINERS],
        "turns": list_turns()[:8],
        "odd streams": list_odd_streams(),
        "odd times": times,
    }


@pytest.mark.parametrize("group", list_cases())
@pytest.mark.parametrize("share", [pytest.param("all", marks=pytest.mark.campaign), "every twelfth"])
def test_raw_and_reencoded_films_agree(group: str, share: str, tmp_path: Path, measurements: Measurements) -> None:
    cases = list_cases()[group][:: 12 if share == "every twelfth" else 1]
    count, differences = 0, []
    for case in cases:
        path = tmp_path / f"{case.name}.{case.suffix}".replace(":", " ")
        case.write(path)
        for difference in compare(case, path, tmp_path / "reencoded.mp4"):
            count += 1
            differences += [f"{path.name}: {difference}"] if difference else []
    measurements.add_row(
        "raw and re-encoded",
        group=f"{group}, {share}",
        films=len(cases),
        comparisons=count,
        differences=len(differences),
    )
    assert not differences
