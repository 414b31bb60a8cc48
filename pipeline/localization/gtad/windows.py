"""Windows of the snippets of a long video, as G-TAD publishes them for THUMOS14."""

import numpy as np
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F  # noqa: N812  # the usual name

MAX_REST = 5
"""What remains after the last window gets a window of its own if it is longer than a window divided by this."""


def window_starts(num_snippets: int, length: int, stride: int) -> list[int]:
    """Return the first snippet of each window of a video.

    A video that is shorter than a window has one window. Of a longer one, a rest may remain without a window that is
    at most `length` / `MAX_REST` long.

    Args:
        num_snippets: snippets of the video, at least one.
        length: snippets of a window.
        stride: snippets between the starts of two windows.
    """
    if num_snippets < length:
        return [0]
    starts = [number * stride for number in range((num_snippets + stride - length) // stride)]
    if num_snippets - (starts[-1] + length) > length // MAX_REST:
        starts.append(num_snippets - length)
    return starts


def cut_window(snippets: Float[Tensor, "snippets dim"], start: int, length: int) -> Float[Tensor, "positions dim"]:
    """Return the snippets of a window, with zeros after the end of the video."""
    window = snippets[start : start + length]
    return F.pad(window, (0, 0, 0, length - len(window)))


def contained_shares(
    actions: Float[np.ndarray, "actions 2"], start: float, end: float
) -> Float[np.ndarray, " actions"]:
    """Return which share of each action lies in a window; 1 for an action without length in the window.

    Args:
        actions: start and end, in any unit.
        start: of the window.
        end: of the window.
    """
    lengths = actions[:, 1] - actions[:, 0]
    inside = np.clip(np.minimum(actions[:, 1], end) - np.maximum(actions[:, 0], start), 0, None)
    is_inside = (actions[:, 0] >= start) & (actions[:, 1] <= end)
    return np.divide(inside, lengths, out=is_inside.astype(np.float64), where=lengths > 0)
