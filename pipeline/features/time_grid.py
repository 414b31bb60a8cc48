"""The times of feature rows, and the alignment of one feature with the rows of another."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from pipeline.errors import PipelineError

_ROUNDING_FRAMES = 1e-6
"""Rounding error (frames) of a duration times a frame rate that is a whole number."""
_DIGITS = 6
"""Digits of a row position that are kept, so that halves are recognised however the time was computed."""

RowPositions = Float[np.ndarray, "targets"]
SourceRows = Float[np.ndarray, "rows dim"]
AlignedRows = Float[np.ndarray, "targets dim"]


@dataclass(frozen=True)
class ClipGrid:
    """The times of the clips (windows of frames) of a video: clip i lasts `frames` / fps from i * stride / fps on.

    A feature has one row for each clip. Times count from the start of the file, which is the start of its first stream;
    in a re-encoded video that is the first frame. A clip that was padded at the end of a video lasts as long as others.
    The origin of times of imported features is the one they were made with.

    Attributes:
        fps: frames per second inside a clip; for audio, samples per second.
        frames: frames of a clip.
        stride: frames from the start of one clip to the start of the next.
    """

    fps: float
    frames: int
    stride: int

    def centres(self, num_clips: int) -> Float[np.ndarray, "num_clips"]:
        """Return the centres of the first clips (seconds)."""
        return (np.arange(num_clips) * self.stride + self.frames / 2) / self.fps

    def spans(self, num_clips: int) -> Float[np.ndarray, "num_clips 2"]:
        """Return start and end of the first clips (seconds)."""
        starts = np.arange(num_clips) * self.stride
        return np.stack([starts, starts + self.frames], axis=1) / self.fps

    def num_clips(self, duration: float) -> int:
        """Return the number of complete clips in a video of `duration` seconds, at least one."""
        return max(1, int((duration * self.fps - self.frames + _ROUNDING_FRAMES) // self.stride + 1))

    def duration(self, num_clips: int) -> float:
        """Return the time from the start of the first to the end of the last clip (seconds)."""
        return ((num_clips - 1) * self.stride + self.frames) / self.fps if num_clips else 0.0

    def is_padded(self, duration: float) -> bool:
        """Return whether a video of `duration` seconds ends before the last frame of its first clip."""
        return duration * self.fps <= self.frames - 1 + _ROUNDING_FRAMES

    def of_video(self, duration: float) -> "ClipGrid":
        """Return the times of the rows of a video of `duration` seconds, as a grid of a constant rate."""
        del duration
        return self

    def has_rows_of(self, other: "ClipGrid") -> bool:
        """Return whether the rows of both grids stand for the same times in every video."""
        return self == other


@dataclass(frozen=True)
class SnippetGrid(ClipGrid):
    """The times of a fixed number of rows: a video is divided into equal snippets, and a row is from the middle of one.

    CLIP-DAP takes 60 snippets of each clip (Yang et al., 2022). Row i stands for its snippet, whatever the window of
    frames around the middle; so features of all networks have the same rows. `stride` has no meaning.

    Attributes:
        snippets: number of snippets.
    """

    snippets: int

    def centres(self, num_clips: int) -> Float[np.ndarray, "num_clips"]:  # noqa: ARG002 - as in the base class
        """Refuse: the centres depend on the video; see `of_video`.

        Raises:
            PipelineError: always.
        """
        raise PipelineError(
            f"a feature of {self.snippets} snippets has no constant rate of rows, which this stage needs; extract it "
            "with a stride instead (extract_features: snippets: null)"
        )

    def spans(self, num_clips: int) -> Float[np.ndarray, "num_clips 2"]:
        """Refuse, as `centres`."""
        self.centres(num_clips)
        raise AssertionError

    def duration(self, num_clips: int) -> float:
        """Refuse, as `centres`."""
        self.centres(num_clips)
        raise AssertionError

    def num_clips(self, duration: float) -> int:
        """Return the number of rows of any video."""
        del duration
        return self.snippets

    def of_video(self, duration: float) -> ClipGrid:
        """Return the times of the rows of a video of `duration` seconds, as a grid of a constant rate."""
        return ClipGrid(self.snippets / duration, 1, 1)

    def has_rows_of(self, other: ClipGrid) -> bool:
        """Return whether the rows of both grids stand for the same times in every video."""
        return isinstance(other, SnippetGrid) and other.snippets == self.snippets


def read_grid(metadata: Mapping[str, Any]) -> ClipGrid:
    """Return the grid that the metadata of a feature states."""
    grid = ClipGrid(metadata["fps"], metadata["frames"], metadata["stride"])
    if (snippets := metadata.get("snippets")) is None:
        return grid
    return SnippetGrid(grid.fps, grid.frames, grid.stride, snippets)


def snippet_centres(length: int, snippets: int) -> list[int]:
    """Return the middle of each of some equal parts of 0 .. length - 1: the index of a frame, or of a row.

    A part from b to the next part's start c has the middle (b + c) // 2, where b and c are whole numbers. If there are
    fewer indices than parts, an index is the middle of several.

    Args:
        length: number of indices, at least 1.
        snippets: number of parts.
    """
    bounds = np.linspace(0, length, snippets + 1).astype(np.int64)
    middles: list[int] = np.minimum((bounds[:-1] + bounds[1:]) // 2, length - 1).tolist()
    return middles


def row_positions(times: Float[np.ndarray, "targets"], grid: ClipGrid) -> RowPositions:
    """Convert times to fractional row indices of a feature: 2.5 is half-way between the centres of the rows 2 and 3.

    Args:
        times: seconds.
        grid: the grid of the feature.
    """
    return np.round((times * grid.fps - grid.frames / 2) / grid.stride, _DIGITS)


def coverage_mask(
    positions: RowPositions, num_rows: int, grid: ClipGrid, target_grid: ClipGrid
) -> Bool[np.ndarray, "targets"]:
    """Return which targets a feature covers.

    The first and the last row also stand for the time beyond them, as far as two features of the same video can differ:
    up to a stride of frames is left over at the end of a video, and the rows of both features reach half a clip beyond
    their centres.

    Args:
        positions: positions of the targets on the grid of the feature, see `row_positions`.
        num_rows: number of rows of the feature.
        grid: grid of the feature.
        target_grid: grid of the targets.
    """
    reach_s = (grid.frames / 2 + grid.stride) / grid.fps + target_grid.frames / 2 / target_grid.fps
    reach = reach_s * grid.fps / grid.stride
    mask: Bool[np.ndarray, " targets"] = (positions >= -reach) & (positions <= num_rows - 1 + reach)
    return mask


def nearest_rows(rows: SourceRows, positions: RowPositions) -> AlignedRows:
    """Return the nearest row for each position; of two equally near rows, the earlier one."""
    indices = np.clip(np.ceil(positions - 0.5), 0, len(rows) - 1).astype(np.int64)
    return rows[indices]


def interpolated_rows(rows: SourceRows, positions: RowPositions) -> AlignedRows:
    """Interpolate linearly between the two rows around each position; repeat the first and the last row outside."""
    inside = np.clip(positions, 0, len(rows) - 1)
    before = np.floor(inside).astype(np.int64)
    after = np.minimum(before + 1, len(rows) - 1)
    weight = (inside - before)[:, None].astype(rows.dtype)
    return rows[before] * (1 - weight) + rows[after] * weight


ALIGN_FUNCTIONS = {"nearest": nearest_rows, "linear": interpolated_rows}
