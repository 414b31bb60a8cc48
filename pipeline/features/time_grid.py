"""Where the rows of a feature lie in time."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

_ROUNDING = 1e-6
"""Frames by which a product of seconds and a frame rate may miss a whole number."""


@dataclass(frozen=True)
class ClipGrid:
    """Where the rows of a video lie in time: row i begins at i * stride / fps and lasts frames / fps seconds.

    Time is counted from the file's beginning, where its first stream begins: of a re-encoded video, from its first
    frame. (What was made elsewhere counts as whoever made it did.) A row whose clip was filled up at the end of the
    video lasts as long as the others.

    Attributes:
        fps: frames per second within a clip; of sound, samples.
        frames: of a clip.
        stride: frames from one clip to the next.
    """

    fps: float
    frames: int
    stride: int

    def centres(self, clips: int) -> Float[np.ndarray, "clips"]:
        """The middle of each of the first `clips` rows, seconds."""
        return (np.arange(clips) * self.stride + self.frames / 2) / self.fps

    def times(self, clips: int) -> Float[np.ndarray, "clips 2"]:
        """Start and end of each of the first `clips` rows, seconds."""
        starts = np.arange(clips) * self.stride
        return np.stack([starts, starts + self.frames], axis=1) / self.fps

    def clips(self, duration: float) -> int:
        """Rows of a video of this many seconds: its whole clips, at least one."""
        return max(1, int((duration * self.fps - self.frames + _ROUNDING) // self.stride + 1))

    def duration(self, clips: int) -> float:
        """Seconds from the start of the first to the end of the last of `clips` rows."""
        return ((clips - 1) * self.stride + self.frames) / self.fps if clips else 0.0

    def padded(self, duration: float) -> bool:
        """Whether a video of this many seconds ends before the last frame of its first clip."""
        return duration * self.fps <= self.frames - 1 + _ROUNDING
