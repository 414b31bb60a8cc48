"""Durations of captioned videos: stated by an annotation, or measured from the video, because subtitles state none."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from pipeline.datasets.annotations import ActionVideo, CaptionedVideo
from pipeline.errors import PipelineError
from pipeline.io.progress import Progress
from pipeline.threads import count_cores
from pipeline.video.media_streams import choose_video, read_expected_end

TIMEOUT_S = 120.0
"""Longest time to wait for output of ffmpeg (seconds)."""


def measure_duration(path: Path) -> float:
    """Measure the duration of a video [s]: the end that the file declares, or that of its last packet if it is later.

    Raises:
        PipelineError: the file is no readable video; names it.
    """
    stream = choose_video(path, TIMEOUT_S)
    return read_expected_end(path, stream.header, TIMEOUT_S)


def complete_durations(
    sources: Sequence[Mapping[str, CaptionedVideo]], actions: Mapping[str, ActionVideo], files: Mapping[str, Path]
) -> tuple[list[dict[str, CaptionedVideo]], dict[str, str]]:
    """Give every captioned video a duration: its own, that of another annotation, or that of its file.

    Args:
        sources: captioned videos of each file of captions.
        actions: videos with actions.
        files: video files by id.

    Returns:
        The sources with durations, and for each video that could not be measured the reason. A video without a file
        stays without a duration.
    """
    stated = [(video, entry.duration) for videos in sources for video, entry in videos.items()]
    stated += [(video, entry.duration) for video, entry in actions.items()]
    durations: dict[str, float] = {}
    for video, duration in stated:
        if duration is not None:
            durations.setdefault(video, duration)
    unstated = sorted({video for videos in sources for video in videos if video not in durations and video in files})
    failures: dict[str, str] = {}
    progress = Progress("durations", len(unstated))
    with ThreadPoolExecutor(count_cores()) as pool:  # threads suffice: ffmpeg measures in processes of its own
        for video, measured in zip(unstated, pool.map(_try_to_measure, map(files.__getitem__, unstated)), strict=True):
            if isinstance(measured, str):
                failures[video] = measured
            else:
                durations[video] = measured
            progress.step()
    completed = [
        {
            video: entry if entry.duration is not None else replace(entry, duration=durations.get(video))
            for video, entry in videos.items()
        }
        for videos in sources
    ]
    return completed, failures


def _try_to_measure(path: Path) -> float | str:
    """Return the duration of a video [s], or why it cannot be measured."""
    try:
        return measure_duration(path)
    except PipelineError as error:
        return str(error)
