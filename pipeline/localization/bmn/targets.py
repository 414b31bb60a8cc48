"""What the network is shown and what it is to say: videos and events on a row of equally many positions."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from pipeline.localization.nms import tiou

REACH = 1.5
"""A boundary reaches so many positions to either side."""


@dataclass(frozen=True)
class Wanted:
    """What the network is to say of a video, or of several (then with an axis for them in front).

    Attributes:
        start: of each position, the share that starts of events reach.
        end: the same for ends.
        overlap: [start, end], of each proposal the tIoU with the event that it meets best; 0 where start > end.
    """

    start: Float[Tensor, "*videos positions"]
    end: Float[Tensor, "*videos positions"]
    overlap: Float[Tensor, "*videos positions positions"]

    def to(self, device: torch.device) -> "Wanted":
        """The same on a device."""
        return Wanted(self.start.to(device), self.end.to(device), self.overlap.to(device))


def rescale(
    clips: Float[Tensor, "clips dim"], centres: Float[np.ndarray, " clips"], duration: float, positions: int
) -> Float[Tensor, "positions dim"]:
    """A video's features at the middles of equal parts of it, by linear interpolation between the middles of clips.

    So TSP's author prepared features for BMN and G-TAD. Beyond the first and the last middle, those clips stand.

    Args:
        clips: features.
        centres: middles of the clips, seconds.
        duration: of the video, seconds.
        positions: parts.
    """
    wanted = (np.arange(positions) + 0.5) / positions * duration
    at = np.interp(wanted, centres, np.arange(len(clips)))
    below = np.minimum(at.astype(np.int64), max(len(clips) - 2, 0))
    share = torch.from_numpy(at - below).to(clips)[:, None]
    return clips[below] * (1 - share) + clips[np.minimum(below + 1, len(clips) - 1)] * share


def labels(events: Sequence[tuple[float, float]], duration: float, positions: int) -> Wanted:
    """Labels of one video.

    Args:
        events: start and end, seconds; what lies beyond the video is moved to its end.
        duration: of the video, seconds.
        positions: of the network.
    """
    segments = np.clip(np.array(events, np.float64).reshape(-1, 2) / duration, 0, 1)
    first, last = np.triu_indices(positions)
    overlaps = tiou(np.stack([first, last + 1], 1) / positions, segments)
    overlap = torch.zeros(positions, positions)
    overlap[first, last] = torch.from_numpy(overlaps.max(1, initial=0)).float()
    start, end = (_reached(segments[:, side] * positions, positions) for side in (0, 1))
    return Wanted(start, end, overlap)


def stack(videos: Sequence[Wanted]) -> Wanted:
    """Labels of several videos."""
    return Wanted(*(torch.stack([getattr(one, name) for one in videos]) for name in ("start", "end", "overlap")))


def _reached(boundaries: Float[np.ndarray, " events"], positions: int) -> Float[Tensor, " positions"]:
    """Of each position i, which is i - 1/2 to i + 1/2, the share within `REACH` of a boundary: of the nearest one."""
    middle = np.arange(positions)[:, None]
    upper = np.minimum(middle + 0.5, boundaries + REACH)
    lower = np.maximum(middle - 0.5, boundaries - REACH)
    return torch.from_numpy(np.clip(upper - lower, 0, None).max(1, initial=0)).float()
