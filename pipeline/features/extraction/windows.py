"""Cutting a stream, of frames or of samples of sound, into windows, holding no more than one window of it."""

from collections.abc import Iterator
from typing import Literal

import numpy as np
from jaxtyping import Shaped

from pipeline.errors import PipelineError

Piece = Shaped[np.ndarray, "_ ..."]
"""Some frames, or some samples, along the first axis."""
Pieces = list[Piece]
"""A window, not yet put together: what several windows share is there once."""


class Cutter:
    """Windows of one stream. The first begins at the beginning, the others `stride` later each.

    Args:
        size: of a window, frames or samples.
        stride: from one window's start to the next one's; more than `size` leaves some out.
        tail: what becomes of the end that no whole window covers: left out, or padded to be one more window.
        silence: pad with zeros, not with the last frame.
    """

    def __init__(self, size: int, stride: int, tail: Literal["drop", "pad"], *, silence: bool) -> None:
        self._size, self._stride, self._tail, self._silence = size, stride, tail, silence
        self._held: list[Piece] = []
        self._count = 0
        self._skip = 0
        self._covered = 0
        self.total = 0
        """Frames or samples so far."""
        self.windows = 0
        """So far."""

    @property
    def padded(self) -> bool:
        """Whether the stream so far does not fill one window."""
        return self.total < self._size

    def passes(self, count: int) -> bool:
        """Whether the next so many frames or samples lie between windows. If so they count as seen: none need come."""
        if count > self._skip:
            return False
        self._skip -= count
        self.total += count
        return True

    def push(self, piece: Piece) -> Iterator[Pieces]:
        """The windows that are whole with this piece.

        Raises:
            PipelineError: the piece is of another shape than those before.
        """
        if self.passes(len(piece)):
            return
        self.total += len(piece)
        skipped, self._skip = self._skip, 0
        if self._held and self._held[0].shape[1:] != piece.shape[1:]:
            raise PipelineError("frames of several sizes in one file; re-encode it")
        self._held.append(piece[skipped:])
        self._count += len(piece) - skipped
        while self._count >= self._size:
            window, _ = _split(self._held, self._size)
            yield self._cut(window)
            _, self._held = _split(self._held, self._stride)
            self._skip = max(0, self._stride - self._count)
            self._count = max(0, self._count - self._stride)

    def end(self) -> Iterator[Pieces]:
        """The window that the end gives: of a stream shorter than one window, or as `tail` says."""
        uncovered = self._count > 0 and self.total > self._covered
        if uncovered and (self.windows == 0 or self._tail == "pad"):
            last = self._held[-1][-1:]
            filler = np.zeros_like(last) if self._silence else last
            yield self._cut([*self._held, np.repeat(filler, self._size - self._count, axis=0)])

    def _cut(self, window: Pieces) -> Pieces:
        self._covered = self.windows * self._stride + self._size
        self.windows += 1
        return window


def _split(pieces: Pieces, count: int) -> tuple[Pieces, Pieces]:
    """The first so many frames or samples, and the rest."""
    first: Pieces = []
    for number, piece in enumerate(pieces):
        if count <= len(piece):
            rest = [piece[count:]] if count < len(piece) else []
            return [*first, piece[:count]], [*rest, *pieces[number + 1 :]]
        first.append(piece)
        count -= len(piece)
    return first, []
