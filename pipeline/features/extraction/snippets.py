"""Windows around the middles of equal snippets of a video, instead of windows at a constant rate.

As CLIP-DAP samples clips (Yang et al., 2022, section 3.3; the rule is that of its code): a video of n frames is divided
into equal snippets, and the frame in the middle of each is sampled. A window of several frames, or of sound, lies
around this frame, so that all features of a video have the same rows.
"""

from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction

import numpy as np
from jaxtyping import Float, Shaped

from pipeline.features.time_grid import SnippetGrid, snippet_centres
from pipeline.video.ffmpeg_pipe import DamagedError
from pipeline.video.stream import TimedFrame

Chunk = Shaped[np.ndarray, "_ ..."]


def window_frames(num_frames: int, fps: Fraction, grid: SnippetGrid) -> list[list[int]]:
    """Return the frames of the window of each snippet, ascending.

    The frames of a window have the rate of the grid, and the snippet's middle is frame `frames` // 2 of it. Before the
    first and after the last frame of the video, that frame is repeated.

    Args:
        num_frames: frames of the video.
        fps: frames of the video per second.
        grid: rate and number of the frames of a window, number of snippets.
    """
    step = fps / Fraction(grid.fps).limit_denominator(1001)
    offsets = [round((index - grid.frames // 2) * step) for index in range(grid.frames)]
    return [
        [min(max(centre + offset, 0), num_frames - 1) for offset in offsets]
        for centre in snippet_centres(num_frames, grid.snippets)
    ]


class FrameSnippets:
    """Collects the frames of a video's windows while they stream, and holds no more than a few windows.

    Args:
        windows: frames of each window, as `window_frames` returns them.

    Attributes:
        needed: indices of all frames that any window has.
        num_windows: windows so far.
    """

    def __init__(self, windows: Sequence[Sequence[int]]) -> None:
        self.needed = frozenset(index for window in windows for index in window)
        self.num_windows = 0
        self._windows = windows
        self._frames: dict[int, Chunk] = {}

    def push(self, index: int, frame: Chunk) -> Iterator[list[Chunk]]:
        """Add a needed frame; yield the windows that it completes.

        Args:
            index: of the frame; ascending from call to call.
            frame: uint8 [1 height width 3].
        """
        self._frames[index] = frame
        while self.num_windows < len(self._windows) and self._windows[self.num_windows][-1] <= index:
            yield [self._frames[needed] for needed in self._windows[self.num_windows]]
            self.num_windows += 1
        if self.num_windows < len(self._windows):
            first = self._windows[self.num_windows][0]
            self._frames = {held: chunk for held, chunk in self._frames.items() if held >= first}

    @property
    def is_complete(self) -> bool:
        """Whether all windows are complete."""
        return self.num_windows == len(self._windows)


def read_frame_snippets(
    read_frames: Callable[[Sequence[int]], Iterator[TimedFrame]],
    num_frames: int,
    fps: Fraction,
    grids: Sequence[SnippetGrid],
) -> Iterator[tuple[int, list[Chunk]]]:
    """Yield the windows of a video for several extractors, each extractor's in order.

    Args:
        read_frames: returns the frames with some indices, ascending.
        num_frames: frames of the video.
        fps: frames per second.
        grids: of the extractors.

    Yields:
        index of the extractor, and the frames of its next window.

    Raises:
        DamagedError: frames are lacking.
    """
    snippets = [FrameSnippets(window_frames(num_frames, fps, grid)) for grid in grids]
    needed = sorted(frozenset[int]().union(*(of_grid.needed for of_grid in snippets)))
    for index, frame in zip(needed, read_frames(needed), strict=False):
        chunk = frame.to_rgb()[None]
        for extractor, of_grid in enumerate(snippets):
            if index in of_grid.needed:
                yield from ((extractor, window) for window in of_grid.push(index, chunk))
    if not all(of_grid.is_complete for of_grid in snippets):
        raise DamagedError(f"fewer than {num_frames} frames decoded; re-encode the video")


def read_sound_snippets(
    read_samples: Callable[[int], Iterator[Float[np.ndarray, "_"]]],
    num_frames: int,
    fps: Fraction,
    grids: Sequence[SnippetGrid],
) -> Iterator[tuple[int, list[Chunk]]]:
    """Yield the windows of sound around the middles of the snippets; silence beyond both ends of the sound.

    The sound is held as a whole: clips are short, and a minute of sound at 16 kHz has 4 MB.

    Args:
        read_samples: returns the samples at a rate [samples/s].
        num_frames: frames of the video.
        fps: frames per second.
        grids: of the extractors.

    Yields:
        index of the extractor, and the samples of its next window; nothing if the sound has no sample.
    """
    for rate in sorted({round(grid.fps) for grid in grids}):
        parts = list(read_samples(rate))
        sound = np.concatenate(parts) if parts else np.zeros(0, np.float32)
        for extractor, grid in enumerate(grids):
            if len(sound) and round(grid.fps) == rate:
                padded = np.pad(sound, grid.frames)
                for centre in snippet_centres(num_frames, grid.snippets):
                    middle = round((2 * centre + 1) * rate / (2 * fps))
                    start = min(middle + grid.frames - grid.frames // 2, len(padded) - grid.frames)
                    yield extractor, [padded[start : start + grid.frames]]
