"""Lists of proposals in the text format of SSN (Zhao et al., 2017), in which TAG's and P-GCN's proposals are published.

A list has a group of lines for each video, behind a line that begins with `#`:

    # 0
    video_test_0000007             id; of a path, the last part is the id
    1003                           number of frames
    1                              a factor of the number of frames
    1                              number of annotated actions
    3 100 180                      class, start and end of each
    1                              number of proposals
    3 0.9268 0.9744 98 176         class, tIoU, share of its length in the action, start and end of each

SSN's lists have times as shares of the video, P-GCN's in frames: a list whose times are all at most 1 has shares. The
annotated actions, classes and overlaps of a list are not read: they come from the corpus. So proposals have no score.
"""

from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from pipeline.errors import PipelineError


class ListedVideo(NamedTuple):
    """A video of a list.

    Attributes:
        video: id as in the file.
        segments: start and end of its proposals, as shares of the video.
    """

    video: str
    segments: list[tuple[float, float]]


class _Group(NamedTuple):
    """Lines of a video, parsed."""

    video: str
    num_frames: int
    segments: list[tuple[float, float]]


def read_proposal_list(path: Path) -> list[ListedVideo]:
    """Read a list of proposals.

    Raises:
        PipelineError: the file is absent or malformed; names the line.
    """
    if not path.is_file():
        raise PipelineError(f"{path}: no such proposals")
    lines = [line.strip() for line in path.read_text(encoding="utf-8-sig", errors="replace").splitlines()]
    groups = [_parse_group(path, numbered) for numbered in _split_groups(path, lines)]
    has_shares = all(end <= 1 for group in groups for _, end in group.segments)
    return [
        ListedVideo(
            group.video,
            [(start / length, end / length) for start, end in group.segments],
        )
        for group in groups
        for length in [1 if has_shares else group.num_frames]
    ]


def _split_groups(path: Path, lines: Sequence[str]) -> Iterator[list[tuple[int, str]]]:
    """Return the lines of each video with their numbers, without the line with `#` and without blank lines."""
    numbered = [(number, line) for number, line in enumerate(lines, 1) if line]
    if not numbered or not numbered[0][1].startswith("#"):
        raise PipelineError(f"{path}: line 1: expected `# 0`; a list of proposals has a line with # before each video")
    for is_header, group in groupby(numbered, key=lambda entry: entry[1].startswith("#")):
        if not is_header:
            yield list(group)


def _parse_group(path: Path, lines: Sequence[tuple[int, str]]) -> _Group:
    """Parse the lines of a video.

    Raises:
        PipelineError: lines are missing or left over, or a line has other values; names the line.
    """
    rest = iter(lines)
    number = lines[0][0]
    try:
        number, video = next(rest)
        number, frames = next(rest)
        number, factor = next(rest)
        num_frames = int(float(frames) * float(factor))
        number, num_actions = next(rest)
        for _ in range(int(num_actions)):
            number, line = next(rest)
            _label, _start, _end = map(float, line.split())
        number, num_proposals = next(rest)
        segments = []
        for _ in range(int(num_proposals)):
            number, line = next(rest)
            _label, _tiou, _overlap, start, end = map(float, line.split())
            segments.append((start, end))
    except (ValueError, OverflowError):
        raise PipelineError(f"{path}: line {number}: not as in a list of proposals (SSN's format)") from None
    except StopIteration:
        raise PipelineError(f"{path}: line {number}: the video that ends here has fewer lines than it says") from None
    left_over = next(rest, None)
    if left_over is not None:
        raise PipelineError(
            f"{path}: line {left_over[0]}: the video has more lines than it says; expected a line with #"
        )
    if num_frames < 1:
        raise PipelineError(f"{path}: line {lines[1][0]}: video {video} has {num_frames} frames; expected at least 1")
    return _Group(video.rstrip("/").rsplit("/", 1)[-1], num_frames, segments)
