"""What every annotation reader returns, the checks that all readers share, and the reading of files and folders."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.config.readers import Content, ReaderChoice, configure_reader, parse_reader, readers_of
from pipeline.errors import PipelineError

MAX_SECONDS = 1e9
"""Largest accepted time (thirty years); larger ones are mistakes."""


@dataclass(frozen=True)
class AnnotatedSegment:
    """A segment of a video as annotated: nothing is clipped or dropped.

    Attributes:
        start: seconds.
        end: seconds.
        text: action label, sentence, or empty for background.
    """

    start: float
    end: float
    text: str


@dataclass(frozen=True)
class ActionVideo:
    """A video with its action segments.

    Attributes:
        duration: seconds; None if the file does not state it.
        segments: in the file's order.
        subset: training, validation or testing; None if the file does not state it.
        background: segments that the file states to show no action; None if the file states no background.
    """

    duration: float | None
    segments: tuple[AnnotatedSegment, ...]
    subset: str | None = None
    background: tuple[AnnotatedSegment, ...] | None = None


@dataclass(frozen=True)
class CaptionedVideo:
    """A video with its captioned events.

    Attributes:
        duration: seconds; None if the file does not state it.
        events: in the file's order, with their sentences as written.
    """

    duration: float | None
    events: tuple[AnnotatedSegment, ...]


@dataclass(frozen=True)
class CaptionedClip:
    """A clip: a short video that several people caption as a whole.

    Attributes:
        captions: in the file's order, as written.
        duration: seconds; None if the file does not state it.
        subset: training, validation or testing; None if the file does not state it.
        category: class of the clip; None if the file states none.
    """

    captions: tuple[str, ...]
    duration: float | None = None
    subset: str | None = None
    category: str | None = None


def read_actions(path: Path, reader: ReaderChoice | None = None) -> dict[str, ActionVideo]:
    """Read a file or folder of action annotations, by video id as in the file.

    Args:
        path: the file, or a folder of files of one video each.
        reader: a reader, with or without settings; None selects the reader by the suffix of a file.

    Raises:
        PipelineError: no such reader, a file is absent or malformed, or two files annotate one video.
    """
    return _read_files(path, "actions", reader)


def read_captions(path: Path, reader: ReaderChoice | None = None) -> dict[str, CaptionedVideo]:
    """Read a file or folder of captions, by video id as in the file.

    Args:
        path: the file, or a folder of files of one video each.
        reader: a reader, with or without settings; None selects the reader by the suffix of a file.

    Raises:
        PipelineError: no such reader, a file is absent or malformed, or two files annotate one video.
    """
    return _read_files(path, "captions", reader)


def read_clips(path: Path, reader: ReaderChoice | None = None) -> dict[str, CaptionedClip]:
    """Read a file of captioned clips, by clip id as in the file.

    Args:
        path: the file.
        reader: a reader, with or without settings; None selects the reader by the suffix of the file.

    Raises:
        PipelineError: no such reader, or the file is absent or malformed.
    """
    return _read_files(path, "clips", reader)


def list_annotation_files(path: Path, content: Content, reader: ReaderChoice | None = None) -> list[Path]:
    """Return the files that a configuration means by a path: the file itself, or the files of a folder, sorted.

    Of a folder these are the files of formats that have a file for each video; with a reader, those of its suffix.
    Hidden files and others, such as the videos themselves, are left out.

    Raises:
        PipelineError: no such reader, or the folder has no such file.
    """
    if not path.is_dir():
        return [path]
    specs = [spec for spec in readers_of(content) if spec.file_per_video]
    if reader is not None:
        specs = [parse_reader(reader, content).spec]
    suffixes = tuple(suffix for spec in specs for suffix in spec.suffixes)
    names = (file.name for file in path.iterdir() if file.is_file() and not file.name.startswith("."))
    files = [path / name for name in sorted(names) if name.lower().endswith(suffixes)]
    if not files:
        raise PipelineError(
            f"{path}: this folder has no file of {content} ({' '.join(suffixes) or 'no format has a file per video'}); "
            "name the file if it is of another format"
        )
    return files


def _read_files(path: Path, content: Content, reader: ReaderChoice | None) -> dict[str, Any]:
    videos: dict[str, Any] = {}
    files: dict[str, Path] = {}
    for file in list_annotation_files(path, content, reader):
        for video, entry in configure_reader(file.name, content, reader).read(file).items():
            if video in videos:
                raise PipelineError(f"{file}: video {video} is annotated in {files[video]} too; keep one of the two")
            videos[video], files[video] = entry, file
    return videos


def is_seconds(time: Any) -> bool:
    """Return whether a value is a plausible time in seconds: a finite number below `MAX_SECONDS`."""
    return isinstance(time, int | float) and not isinstance(time, bool) and abs(time) < MAX_SECONDS


def check_times(times: Any, path: Path, video: str, index: int) -> tuple[float, float]:
    """Return start and end if they are two finite numbers of seconds; their order is not checked.

    Raises:
        PipelineError: anything else; names the file, the video and the segment.
    """
    if not (isinstance(times, list) and len(times) == 2 and all(is_seconds(time) for time in times)):
        raise PipelineError(f"{path}: video {video}, segment {index}: {times!r} is not [start, end] in seconds")
    return float(times[0]), float(times[1])


def check_duration(duration: Any, path: Path, video: str) -> float:
    """Return the duration if it is a positive finite number of seconds.

    Raises:
        PipelineError: anything else; names the file and the video.
    """
    is_number = isinstance(duration, int | float) and not isinstance(duration, bool)
    if not is_number or not math.isfinite(duration) or duration <= 0:
        raise PipelineError(f"{path}: video {video}: duration {duration!r} is not a positive number of seconds")
    return float(duration)
