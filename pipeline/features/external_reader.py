"""Reading the features of selected videos from files of other projects; what cannot be used costs its video only."""

import logging
from collections import Counter
from collections.abc import Collection, Iterator, KeysView, Mapping
from pathlib import Path

import numpy as np
from jaxtyping import Float

from pipeline.datasets.corpus import RejectedVideo
from pipeline.errors import PipelineError
from pipeline.features.external_array import (
    ABSENT_REASONS,
    NOT_FINITE,
    NOT_IN_FILE,
    OTHER_CHANNELS,
    ArrayError,
    ArrayHeader,
    list_names,
)
from pipeline.features.external_files import ExternalSource
from pipeline.features.external_h5 import H5Source
from pipeline.features.shard import Dtype, Item, check_finite
from pipeline.features.time_grid import ClipGrid, SnippetGrid
from pipeline.io.tables import write_rows

REJECTS = "rejects.parquet"
PREFIX = "v_"
"""What ActivityNet puts in front of the id of a video on YouTube; some files have it, some do not."""
TOLERANCE = 0.2
"""Largest relative difference between the rows of all videos and the number that follows from their durations."""
SAMPLE = 25
"""Number of arrays whose majority decides the number of channels."""


class FeatureReader:
    """Reader of the features of selected videos.

    Args:
        source: the open files.
        videos: ids of the videos. An id that the files lack is looked up with `v_` in front, or without it.

    Attributes:
        path: the file or folder.
        dim: channels of most arrays.
        rejects: videos that `items` gave a reason instead of rows.

    Raises:
        PipelineError: no array can be used, or arrays disagree in their number of channels without a majority.
    """

    def __init__(self, source: ExternalSource, videos: Collection[str]) -> None:
        self.path = source.path
        self.rejects: list[RejectedVideo] = []
        self._source = source
        self._names = match_ids(videos, source.videos)
        self._first, self.dim = _find_channels(source)
        self._headers = {video: self._read_header(video) for video in videos}

    @property
    def unused(self) -> set[str]:
        """Videos of the files that are not selected."""
        return set(self._source.videos) - set(self._names.values())

    def num_rows(self, video: str) -> int:
        """Return the number of rows of a selected video; 0 if it has no usable array."""
        header = self._headers[video]
        return 0 if isinstance(header, ArrayError) else header.shape[0]

    def read(self, video: str, dtype: Dtype = "float32") -> Float[np.ndarray, "rows dim"]:
        """Read the rows of a selected video, as float32.

        Args:
            video: its id.
            dtype: type in which the rows must be finite.

        Raises:
            ArrayError: the array is absent or empty, or cannot be used.
        """
        header = self._headers[video]
        if isinstance(header, ArrayError):
            raise header
        rows = self._source.read(self._names[video])
        with np.errstate(over="ignore"):  # too large numbers become infinite
            stored = rows.astype(dtype, copy=False)
        try:
            check_finite(stored, rows, video, self.path)
        except PipelineError as error:
            raise ArrayError(NOT_FINITE, str(error)) from None
        return rows

    def items(self, durations: Mapping[str, float], dtype: Dtype = "float32") -> Iterator[Item]:
        """Read selected videos as items for `write_shard`; note in `rejects` those without features.

        Args:
            durations: id -> duration (seconds) of the videos to read.
            dtype: as for `read`.

        Yields:
            every video with its rows, or with the code of the reason why it has none.
        """
        for video, duration in durations.items():
            try:
                rows = self.read(video, dtype)
            except ArrayError as error:
                self.rejects.append(RejectedVideo(video, self.path.as_posix(), error.reason, str(error)))
                yield video, duration, error.reason
            else:
                yield video, duration, rows

    @property
    def faults(self) -> list[RejectedVideo]:
        """Rejects that are a fault of a file: all but those whose array is absent or empty."""
        return [row for row in self.rejects if row.reason not in ABSENT_REASONS]

    def check_any_usable(self) -> None:
        """Check that the array of any selected video can be used; the first such array is read.

        Raises:
            PipelineError: there is none; says why, by the first array.
        """
        if not self._names:
            raise PipelineError(
                f"{self.path}: has none of the {len(self._headers)} selected videos, such as "
                f"{next(iter(self._headers), '(none)')}; it has videos such as {next(iter(self._source.videos))}"
            )
        error: ArrayError | None = None
        for video in self._names:
            try:
                self.read(video)
            except ArrayError as reason:
                error = error or reason
            else:
                return
        raise PipelineError(f"none of the {len(self._names)} videos can be used: {error}")

    def check_grid(self, durations: Mapping[str, float], grid: ClipGrid) -> None:
        """Check that the numbers of rows agree with the durations of the videos on a grid.

        Args:
            durations: id -> duration (seconds) of selected videos.
            grid: the grid that the rows should have.

        Raises:
            PipelineError: they do not, so the grid must be another one.
        """
        row_counts = {video: self.num_rows(video) for video in durations if self.num_rows(video)}
        if isinstance(grid, SnippetGrid):
            other = next((video for video, count in row_counts.items() if count != grid.snippets), None)
            if other is not None:
                raise PipelineError(
                    f"{self.path}: video {other} has {row_counts[other]} rows, but snippets is {grid.snippets}; give "
                    "the number of snippets of these features"
                )
            return
        num_rows, expected = sum(row_counts.values()), sum(grid.num_clips(durations[video]) for video in row_counts)
        if abs(num_rows - expected) > max(TOLERANCE * expected, len(row_counts)):
            raise PipelineError(
                f"{self.path}: has {num_rows} rows for {len(row_counts)} videos, but {grid.frames} frames every "
                f"{grid.stride} frames at {grid.fps:g} fps give {expected} rows for their durations; give the fps, "
                "frames and stride of these features (or the arrays are transposed)"
            )

    def log_choices(self) -> None:
        """Log what was decided without being asked for: the key in HDF5 files, ids that differ by `v_`."""
        if isinstance(self._source, H5Source) and self._source.key_is_found:
            logging.info("%s: reads the dataset %r of each video's group", self.path, self._source.key)
        renamed = [f"{name} for {video}" for video, name in self._names.items() if video != name]
        if renamed:
            names = list_names(renamed, 3)
            logging.info("%s: the ids of %d videos differ by %r: took %s", self.path, len(renamed), PREFIX, names)

    def log_rejects(self) -> None:
        """Log the videos without features by reason, and what is wrong with each faulty array."""
        for row in self.faults:
            logging.warning("left out %s: %s: %s", row.video, row.reason, row.detail)
        by_reason: dict[str, list[str]] = {}
        for row in self.rejects:
            by_reason.setdefault(row.reason, []).append(row.video)
        for reason, videos in sorted(by_reason.items()):
            logging.info("%s: %d videos %s: %s", self.path, len(videos), reason, list_names(videos))

    def write_rejects(self, manifest: Path, videos: Collection[str]) -> None:
        """Write the table of the rejected videos of a shard beside its manifest."""
        write_rows(manifest.parent / REJECTS, [row for row in self.rejects if row.video in videos], RejectedVideo)

    def _read_header(self, video: str) -> ArrayHeader | ArrayError:
        if video not in self._names:
            return ArrayError(NOT_IN_FILE, f"{self.path}: has no {video}")
        name = self._names[video]
        try:
            header = _read_checked_header(self._source, name)
        except ArrayError as error:
            return error
        if header.shape[1] != self.dim:
            most, where = f"most have {self.dim} channels", f"{self.path}: {name}"
            message = _describe_other_channels(where, header.shape, most, self._first.shape)
            return ArrayError(OTHER_CHANNELS, message)
        return header


def match_ids(videos: Collection[str], names: KeysView[str]) -> dict[str, str]:
    """Match ids with the names of a file: equal, or different by `v_` in front.

    Returns:
        id -> name, of the videos that the file has. No name is that of two videos.
    """
    matches: dict[str, str] = {}
    for video in videos:
        other = video.removeprefix(PREFIX) if video.startswith(PREFIX) else f"{PREFIX}{video}"
        if video in names:
            matches[video] = video
        elif other in names and other not in videos:
            matches[video] = other
    return matches


def _find_channels(source: ExternalSource) -> tuple[ArrayHeader, int]:
    """Return the header of an array with the number of channels that most of the first arrays have; that number.

    Raises:
        PipelineError: none of the arrays can be used, or no number of channels has the majority.
    """
    examples: dict[int, tuple[str, ArrayHeader]] = {}
    counts: Counter[int] = Counter()
    error: ArrayError | None = None
    num_rows: set[int] = set()
    for video in source.videos:
        try:
            header = _read_checked_header(source, video)
        except ArrayError as reason:
            error = error or reason
            continue
        counts[header.shape[1]] += 1
        num_rows.add(header.shape[0])
        examples.setdefault(header.shape[1], (video, header))
        if counts.total() == SAMPLE:
            break
    if not counts:
        raise PipelineError(f"none of the {len(source.videos)} arrays can be used: {error}")
    dim, count = counts.most_common(1)[0]
    if len(counts) > 1 and (2 * count <= counts.total() or len(num_rows) == 1):
        (first, header), (other, other_header) = list(examples.values())[:2]
        where, comparison = f"{source.path}: {other}", f"{first} is {list(header.shape)}"
        raise PipelineError(_describe_other_channels(where, other_header.shape, comparison, header.shape))
    return examples[dim][1], dim


def _read_checked_header(source: ExternalSource, name: str) -> ArrayHeader:
    header = source.header(name)
    header.check(f"{source.path}: {name}")
    return header


def _describe_other_channels(where: str, shape: tuple[int, ...], comparison: str, other: tuple[int, ...]) -> str:
    return (
        f"{where} is {list(shape)}, {comparison}: expected [rows, channels] with the same number of channels"
        f"{_hint_transposed(shape, other)}"
    )


def _hint_transposed(shape: tuple[int, ...], other: tuple[int, ...]) -> str:
    if shape[0] == other[1] or shape[1] == other[0]:
        return "; one of the two seems to be transposed"
    return "; they seem to be transposed" if shape[0] == other[0] else ""
