"""The streams of a file that are read: the video and the audio stream that ffmpeg chooses, and their declared end.

ffmpeg chooses the largest video, and the audio with most channels. Subtitles, data, attachments, time codes and
chapters are ignored.
"""

import itertools
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Literal

from pipeline.video.decode import DecodeError, EmptyFileError, NoVideoError
from pipeline.video.ffmpeg_pipe import DamagedError, FfmpegPipe, TruncatedError

MAX_MISSING_S = Fraction(6, 5)
"""Largest inaccuracy of a declared duration (seconds); longer than any frame."""
NULL_OUTPUT = ["-sn", "-dn", "-f", "null", "-"]
AUDIO_START = ["-vn", "-af", "ashowinfo", "-frames:a", "1", *NULL_OUTPUT]
"""Output of ffmpeg that decodes only the start of the audio, and prints a line per frame."""

_DURATION = re.compile(r" *Duration: (\d+):(\d+):([\d.]+)(?:, start: (-?[\d.]+))?")
_STREAM = re.compile(r" *Stream #0:(\d+)\b.*?: (Video|Audio): (.*)")
_CHOICE = re.compile(r" *Stream #0:(\d+) -> #")
_PARAMETERS = {"Video": re.compile(r", [1-9]\d*x[1-9]\d*[ ,]"), "Audio": re.compile(r", [1-9]\d* Hz, ")}
_GUESSED_DURATION = "Estimating duration from bitrate"


class NoAudioError(DecodeError):
    """A file without audio."""


@dataclass(frozen=True)
class MediaStream:
    """A stream of a file that is read.

    Attributes:
        index: of the stream in the file.
        frame_lines: what ffmpeg prints about its first frames.
        can_be_copied: whether its parameters (the size of the video, the rate of the audio) stand at the start of the
            file; without them, ffmpeg decodes it, but copies it to no other file.
        header: ffmpeg's lines about the file.
    """

    index: int
    frame_lines: Sequence[str]
    can_be_copied: bool
    header: Sequence[str]

    @property
    def num_frames(self) -> int:
        """Number of frames that were decoded at the start."""
        return _count_frames(self.frame_lines)


def input_arguments(path: Path) -> list[str]:
    """Return ffmpeg's arguments for an input file.

    With the protocol "file:", no part of a name is taken for a protocol or an option.

    Raises:
        DecodeError: the file does not exist, is empty or cannot be read.
    """
    if not path.is_file():
        raise DecodeError(f"{path}: no such video")
    try:
        with path.open("rb") as file:
            is_empty = not file.read(1)
    except OSError as error:
        raise DecodeError(f"{path}: cannot be read ({error.strerror})") from None
    if is_empty:
        raise EmptyFileError(f"{path}: the file is empty")
    return ["-i", f"file:{path}"]


def choose_video(path: Path, timeout_s: float = math.inf, *, filters: Sequence[str] = ()) -> MediaStream:
    """Return the video stream of a file that is read.

    A stream of one frame, for example the still in an animated AVIF, is chosen only if no stream has more.

    Args:
        path: any file.
        timeout_s: longest time to wait for output of ffmpeg, seconds.
        filters: filters of ffmpeg through which the first frames pass; `frame_lines` show what comes out.

    Raises:
        NoVideoError: the file has no video, or only cover art.
        DecodeError: the file cannot be opened or decoded.
    """
    video_start = _video_start(filters)
    probe = _probe(path, "picture", video_start, timeout_s)
    video = _find_stream(path, probe, "Video")
    if video.num_frames == 1:
        for index in sorted(probe.films - {video.index}):
            other = _probe(path, "picture", ["-map", f"0:{index}", *video_start], timeout_s)
            if other.num_frames > 1:
                return _find_stream(path, other, "Video")
    return video


def choose_audio(path: Path, timeout_s: float = math.inf) -> MediaStream:
    """Return the audio stream of a file that is read.

    Args:
        path: any file.
        timeout_s: longest time to wait for output of ffmpeg, seconds.

    Raises:
        NoAudioError: the file has no audio, or only an empty stream.
        DecodeError: the file cannot be opened or decoded.
    """
    return _find_stream(path, _probe(path, "sound", AUDIO_START, timeout_s), "Audio")


def choose_companion(
    path: Path, stream: MediaStream, choose: Callable[[Path, float], MediaStream], timeout_s: float = math.inf
) -> MediaStream | None:
    """Return the other stream that ffmpeg must read together with one that is decoded; None if there is none.

    ffmpeg takes the earliest start of the streams that are read for time 0, and corrects jumps of their times together
    (in concatenated transport streams). So frames and audio keep their times only if both are always read.

    Args:
        path: the file.
        stream: the stream that is decoded.
        choose: how the other one is chosen, `choose_video` or `choose_audio`.
        timeout_s: longest time to wait for output of ffmpeg, seconds.
    """
    if len(_parse_streams(stream.header)) == 1:
        return None
    try:
        return choose(path, timeout_s)
    except DecodeError:  # without the other stream there is nothing to keep in time
        return None


def discard_arguments(companion: MediaStream | None) -> list[str]:
    """Return ffmpeg's arguments to read another stream and to discard it; see `choose_companion`."""
    if companion is None or not companion.can_be_copied:
        return []
    return ["-map", f"0:{companion.index}", "-c", "copy", "-f", "null", "-"]


def check_not_truncated(path: Path, header: Sequence[str], end: Fraction, timeout_s: float) -> None:
    """Compare the end of a stream, or else of the last packet of any stream, with the declared end.

    Args:
        path: the file.
        header: ffmpeg's lines about the file.
        end: of the stream that was read, seconds from the start of the file.
        timeout_s: longest time to wait for output of ffmpeg, seconds.

    Raises:
        TruncatedError: the file is truncated.
    """
    declared_end = _find_declared_end(header)
    if declared_end is None or declared_end - end <= MAX_MISSING_S:
        return
    missing = declared_end - max(end, _read_last_end(path, header, timeout_s))
    if missing > MAX_MISSING_S:
        raise TruncatedError(f"{path}: truncated: its last {float(missing):.1f} s are missing")


def read_expected_end(path: Path, header: Sequence[str], timeout_s: float) -> float:
    """Return the end that a file declares, or that of its last packet if that is later: seconds from its start.

    Args:
        path: the file.
        header: ffmpeg's lines about the file.
        timeout_s: longest time to wait for output of ffmpeg, seconds.
    """
    return float(max(_find_declared_end(header) or 0, _read_last_end(path, header, timeout_s)))


def read_declared_duration(path: Path, timeout_s: float = math.inf) -> float:
    """Return the end that a file declares, seconds from its start; 0 if it declares none.

    Args:
        path: any file.
        timeout_s: longest time to wait for output of ffmpeg, seconds.

    Raises:
        DecodeError: the file cannot be opened.
    """
    return float(_find_declared_end(_probe(path, "picture", _video_start(), timeout_s).header) or 0)


def _video_start(filters: Sequence[str] = ()) -> list[str]:
    """Return an output of ffmpeg that decodes only the start of the video, and prints a line per frame."""
    return ["-an", "-vf", ",".join([*filters, "showinfo=checksum=0"]), "-frames:v", "2", *NULL_OUTPUT]


@dataclass(frozen=True)
class _Probe:
    """What ffmpeg prints about a file and its start.

    Attributes:
        choices: indices of the streams that it decoded.
        streams: medium and description of each video and audio stream, by index.
        frame_lines: what it prints about the first frames.
        header: its lines about the file.
        problem: what is wrong, if it decoded nothing.
        damage: the error that a damaged file causes; None without.
    """

    choices: Sequence[int]
    streams: dict[int, tuple[str, str]]
    frame_lines: Sequence[str]
    header: Sequence[str]
    problem: str
    damage: DamagedError | None

    @property
    def num_frames(self) -> int:
        """Number of frames that were decoded."""
        return _count_frames(self.frame_lines)

    @property
    def films(self) -> set[int]:
        """Indices of the video streams that are not cover art."""
        streams = self.streams.items()
        return {index for index, (medium, text) in streams if medium == "Video" and "(attached pic)" not in text}


def _probe(path: Path, medium: str, outputs: list[str], timeout_s: float) -> _Probe:
    """Decode the start of a file.

    Args:
        path: any file.
        medium: what is decoded, for messages.
        outputs: arguments of ffmpeg for its output.
        timeout_s: longest time to wait for output of ffmpeg, seconds.

    Raises:
        DecodeError: the file cannot be opened, or its decoder crashes or hangs.
    """
    with FfmpegPipe(path, [*input_arguments(path), *outputs], timeout_s=timeout_s) as pipe:
        frame_lines = list(iter(pipe.next_frame_line, None))
        damage = None
        try:
            pipe.check_end(medium, Fraction(0))
        except DamagedError as error:  # if there are frames, it is raised when the file is read
            damage = error
        problem = pipe.describe_error()
        if not any(line.startswith("Input #0") for line in pipe.header):
            raise DecodeError(f"{path}: not a readable video ({problem})")
        choices = [int(match[1]) for line in pipe.header if (match := _CHOICE.match(line))]
        return _Probe(choices, _parse_streams(pipe.header), frame_lines, pipe.header, problem, damage)


def _find_stream(path: Path, probe: _Probe, medium: Literal["Video", "Audio"]) -> MediaStream:
    """Return the stream of a medium that ffmpeg decoded.

    Raises:
        DecodeError: there is none, or nothing of it can be decoded.
    """
    kind = NoVideoError if medium == "Video" else NoAudioError
    index = next((index for index in probe.choices if probe.streams[index][0] == medium), None)
    exists = probe.films if medium == "Video" else any(medium == other for other, _ in probe.streams.values())
    if not exists or (medium == "Video" and index is not None and index not in probe.films):
        raise kind(f"{path}: has no {medium.lower()} stream")
    if index is None:
        raise DecodeError(f"{path}: its {medium.lower()} cannot be decoded ({probe.problem})")
    if not probe.num_frames and probe.damage:
        raise probe.damage
    if not probe.num_frames:
        raise kind(f"{path}: nothing of its {medium.lower()} stream can be decoded")
    return MediaStream(index, probe.frame_lines, _can_be_copied(*probe.streams[index]), probe.header)


def _count_frames(frame_lines: Sequence[str]) -> int:
    return sum(" pts_time:" in line for line in frame_lines)


def _find_declared_end(header: Sequence[str]) -> Fraction | None:
    """Return the end that a file declares, seconds from its start; None if it declares none."""
    if any(_GUESSED_DURATION in line for line in header):
        return None
    for line in header:
        if match := _DURATION.match(line):
            hours, minutes, seconds, start = match.groups()
            duration = 3600 * int(hours) + 60 * int(minutes) + Fraction(seconds)
            # Some containers declare the duration from time 0, others from their start: assume the shorter one.
            return duration - max(Fraction(0), Fraction(start or 0))
    return None


def _read_last_end(path: Path, header: Sequence[str], timeout_s: float) -> Fraction:
    """Return the end of the last packet of a file, seconds from its start; 0 if it has none."""
    others = [index for index, (medium, text) in _parse_streams(header).items() if not _can_be_copied(medium, text)]
    maps = ["-map", "0", *(word for index in others for word in ("-map", f"-0:{index}"))]
    with FfmpegPipe(
        path, [*input_arguments(path), *maps, "-c", "copy", "-f", "framecrc", "pipe:1"], timeout_s=timeout_s
    ) as pipe:
        lines = pipe.read_lines()
    bases = dict(re.findall(r"#tb (\d+): (\S+)", "\n".join(lines)))
    packets = (line.split(",") for line in lines if line and not line.startswith("#"))
    ends = ((int(packet[2]) + int(packet[3])) * Fraction(bases[packet[0].strip()]) for packet in packets)
    return max(ends, default=Fraction(0))


def _parse_streams(header: Sequence[str]) -> dict[int, tuple[str, str]]:
    """Return the medium and the description of each video and audio stream of the input, by index."""
    header = list(itertools.takewhile(lambda line: not line.startswith(("Stream mapping", "Output #")), header))
    return {int(match[1]): (match[2], match[3]) for line in header if (match := _STREAM.match(line))}


def _can_be_copied(medium: str, description: str) -> bool:
    return bool(_PARAMETERS[medium].search(description))
