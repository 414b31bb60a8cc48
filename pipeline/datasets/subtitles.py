"""Subtitles, SubRip (`.srt`) and WebVTT (`.vtt`): a cue is an event, the name of the file is the video.

Times and markup are read by pysubs2. It is lenient: a line that it does not understand becomes text of the cue before.
So the cues are found here, each with its line, and a line that fits nowhere is an error.
"""

import html
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pysubs2

from pipeline.datasets.annotations import AnnotatedSegment, CaptionedVideo
from pipeline.datasets.text_files import read_annotation_text
from pipeline.datasets.video_ids import check_id
from pipeline.errors import PipelineError

ARROW = "-->"
SRT_TIMES = re.compile(r"\s*(\d{1,2}:\d{1,2}:\d{1,2}[.,]\d{1,3})\s*-->\s*(\d{1,2}:\d{1,2}:\d{1,2}[.,]\d{1,3})(\s.*)?")
WEBVTT_TIMES = re.compile(r"\s*((?:\d{2,4}:)?\d\d:\d\d\.\d{3})\s+-->\s+((?:\d{2,4}:)?\d\d:\d\d\.\d{3})(\s.*)?")
WEBVTT_COMMENTS = ("NOTE", "STYLE", "REGION")
"""First words of the blocks of a WebVTT file that are no cues."""
KARAOKE = re.compile(r"<\d[\d:.]*>")
"""Times inside the text of a WebVTT cue."""


@dataclass(frozen=True)
class Cue:
    """A cue as it stands in the file.

    Attributes:
        line: number of the line with its times, from 1.
        start: time as written.
        end: time as written.
        text: lines, with markup.
    """

    line: int
    start: str
    end: str
    text: tuple[str, ...]


def read_srt(path: Path) -> dict[str, CaptionedVideo]:
    """Read a SubRip file: the video of the file's name.

    Raises:
        PipelineError: the file is absent, not UTF-8, has no cue, or a malformed line (names it).
    """
    lines = read_annotation_text(path).split("\n")
    return _read_cues(path, list(_find_srt_cues(path, lines)), "srt")


def read_webvtt(path: Path) -> dict[str, CaptionedVideo]:
    """Read a WebVTT file: the video of the file's name.

    Raises:
        PipelineError: the file is absent, not UTF-8, has no cue, or a malformed line (names it).
    """
    lines = read_annotation_text(path).split("\n")
    if not re.match(r"WEBVTT(\s|$)", lines[0]):
        raise PipelineError(f"{path}: line 1: expected WEBVTT, the first word of a WebVTT file")
    return _read_cues(path, list(_find_webvtt_cues(path, lines)), "vtt")


def _find_srt_cues(path: Path, lines: list[str]) -> Iterator[Cue]:
    """Yield the cues: text reaches to the next line of times, without the number above that line."""
    starts = [index for index, line in enumerate(lines) if ARROW in line]
    first = starts[0] if starts else len(lines)
    for index in range(first):
        is_number = index == first - 1 and lines[index].strip().isdecimal()
        if lines[index].strip() and not is_number:
            raise PipelineError(f"{path}: line {index + 1}: {lines[index].strip()[:60]!r} is before the first times")
    for index, end in pairwise([*starts, len(lines)]):
        times = _parse_times(path, index + 1, lines[index], SRT_TIMES, "00:01:02,345 --> 00:01:05,000")
        has_number = end < len(lines) and end > index + 1 and lines[end - 1].strip().isdecimal()
        yield Cue(index + 1, *times, tuple(lines[index + 1 : end - has_number]))


def _find_webvtt_cues(path: Path, lines: list[str]) -> Iterator[Cue]:
    """Yield the cues: blocks between blank lines, without the header, comments and styles."""
    block: list[int] = []
    blocks: list[list[int]] = []
    for index, line in enumerate([*lines, ""]):
        if line.strip():
            block.append(index)
        elif block:
            blocks.append(block)
            block = []
    for block in blocks[1:]:
        with_times = [index for index in block[:2] if ARROW in lines[index]]
        if with_times:
            index = with_times[0]
            times = _parse_times(path, index + 1, lines[index], WEBVTT_TIMES, "00:01:02.345 --> 00:01:05.000")
            yield Cue(index + 1, *times, tuple(lines[index + 1 : block[-1] + 1]))
        elif lines[block[0]].split()[0] not in WEBVTT_COMMENTS:
            text = lines[block[0]].strip()[:60]
            raise PipelineError(f"{path}: line {block[0] + 1}: {text!r} has no times; a cue has no blank lines in it")


def _parse_times(path: Path, number: int, line: str, pattern: re.Pattern[str], example: str) -> tuple[str, str]:
    match = pattern.fullmatch(line)
    if not match:
        raise PipelineError(f"{path}: line {number}: {line.strip()[:60]!r} is not two times, as in {example}")
    return match[1], match[2]


def _read_cues(path: Path, cues: list[Cue], kind: str) -> dict[str, CaptionedVideo]:
    if not cues:
        raise PipelineError(f"{path}: has no cue; correct the file, or remove it if the video has no event")
    events = tuple(_read_cue(path, cue, kind) for cue in cues)
    return {check_id(path.stem, path): CaptionedVideo(None, events)}


def _read_cue(path: Path, cue: Cue, kind: str) -> AnnotatedSegment:
    """Read one cue; pysubs2 takes a number in the last line for that of the next cue, so one is added."""
    lines = [KARAOKE.sub("", line) for line in cue.text] if kind == "vtt" else cue.text
    parsed = pysubs2.SSAFile.from_string("\n".join([f"{cue.start} --> {cue.end}", *lines, "", "1", ""]), kind)
    if len(parsed) != 1:
        raise PipelineError(
            f"{path}: line {cue.line}: the text of this cue has two times in one line; write them apart"
        )
    [event] = parsed
    text = html.unescape(event.plaintext) if kind == "vtt" else event.plaintext
    return AnnotatedSegment(event.start / 1000, event.end / 1000, text)
