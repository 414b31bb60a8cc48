"""Reading the frames of clips: from re-encoded files or from memory, in this process or in several others."""

import logging
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from jaxtyping import UInt8
from torch import Tensor

from pipeline.config.pretrain_encoder import Clip
from pipeline.encoders.clips import Sample
from pipeline.errors import PipelineError
from pipeline.training.log import Progress
from pipeline.video.decode import frames
from pipeline.video.shard import VideoRow

Frames = UInt8[np.ndarray, "_ _ _ 3"]
NativeFrames = UInt8[Tensor, "_ _ _ 3"]
"""Frames, height and width of one clip among several, whose sizes may differ."""


def frame_step(row: VideoRow, clip: Clip) -> int:
    """How many frames of the file lie from one frame of a clip to the next.

    Raises:
        PipelineError: the clip's rate does not divide the file's.
    """
    step = round(row.fps / clip.fps)
    if step < 1 or abs(step * clip.fps - row.fps) > 1e-6 * row.fps:
        raise PipelineError(
            f"{row.path}: clips of {clip.fps:g} frames per second cannot be taken from one of {row.fps:g}; "
            "make clip.fps divide reencode.fps"
        )
    return step


def length(row: VideoRow, clip: Clip) -> int:
    """Frames of a video at the clip's frame rate."""
    return -(-row.frames // frame_step(row, clip))


class ClipReader:
    """Frames of clips.

    Args:
        rows: the videos, by id.
        clip: what a clip is.
    """

    def __init__(self, rows: Mapping[str, VideoRow], clip: Clip) -> None:
        self._rows, self._clip = rows, clip
        self._steps = {video: frame_step(row, clip) for video, row in rows.items()}
        self._cached: dict[str, Frames] = {}

    def read(self, video: str, first: int) -> Frames:
        """A clip, at native size.

        Where the video ends before the clip does, the clip is shifted to the video's end; in a video that is shorter
        than a clip, the last frame is repeated.

        Args:
            video: id.
            first: the first frame, counted at the clip's frame rate.

        Raises:
            PipelineError: the file cannot be decoded, holds nothing there, or frames of another size than was said.
        """
        row, size = self._rows[video], self._clip.frames
        found = self._between(video, first, first + size)
        if len(found) == 0:
            raise PipelineError(f"{row.path}: no frames from {first / self._clip.fps:.2f} s on; re-encode it")
        if len(found) < size and first > 0:
            found = self._between(video, max(0, first - size), first + size)[-size:]
        if found.shape[1:3] != (row.height, row.width):
            is_size, said = f"{found.shape[2]} x {found.shape[1]}", f"{row.width} x {row.height}"
            raise PipelineError(f"{row.path}: frames of {is_size} where {said} were expected; re-encode it")
        return pad(found, size)

    def _between(self, video: str, first: int, end: int) -> Frames:
        """Frames from one position to before another, counted at the clip's rate: those that are there."""
        if video in self._cached:
            return self._cached[video][first:end]
        step = self._steps[video]
        return _gather(frames(self._rows[video].path, start=first * step, stop=(end - 1) * step + 1, step=step))

    def cache(self, videos: Iterable[str], limit: int, threads: int) -> None:
        """Decode whole videos into memory, in the order given, those that still fit and can be decoded.

        Args:
            videos: ids.
            limit: of the memory that they may take, bytes.
            threads: videos decoded at a time.
        """
        chosen, size = [], 0
        for video in videos:
            row = self._rows[video]
            needed = length(row, self._clip) * row.height * row.width * 3
            if size + needed <= limit:
                chosen.append(video)
                size += needed
        progress = Progress("decoding videos into memory", len(chosen))
        with ThreadPoolExecutor(threads) as pool:  # the decoder holds no lock of Python's
            for video, found in zip(chosen, pool.map(self._decode, chosen), strict=True):
                if found is not None:
                    self._cached[video] = found
                progress.step()
        logging.info("%d videos in memory, %.2f GB", len(self._cached), size / 1e9)

    def holds(self, samples: Iterable[Sample]) -> bool:
        """Whether all of the samples' videos are in memory."""
        return all(sample.video in self._cached for sample in samples)

    def _decode(self, video: str) -> Frames | None:
        """A whole video, or None where it is unreadable: whoever reads a clip of it is told why."""
        try:
            return _gather(frames(self._rows[video].path, step=self._steps[video]))
        except PipelineError:
            return None


def pad(found: Frames, wanted: int) -> Frames:
    """Frames, the last one repeated until there are as many as wanted."""
    missing = wanted - len(found)
    return np.concatenate([found, np.repeat(found[-1:], missing, axis=0)]) if missing > 0 else found


def _gather(decoded: Iterable[UInt8[np.ndarray, "_ _ 3"]]) -> Frames:
    found = list(decoded)
    if len({frame.shape for frame in found}) > 1:
        raise PipelineError("frames of several sizes in one file; re-encode it")
    return np.stack(found) if found else np.zeros((0, 0, 0, 3), dtype=np.uint8)
