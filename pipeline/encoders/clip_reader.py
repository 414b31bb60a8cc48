"""Read the frames of clips, from re-encoded files or from memory."""

import logging
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Literal

import numpy as np
from jaxtyping import UInt8

from pipeline.config.clip_geometry import ClipGeometry
from pipeline.encoders.sampling import ClipSample
from pipeline.errors import PipelineError
from pipeline.io.progress import Progress
from pipeline.video.decode import read_frames
from pipeline.video.shard import ReencodedVideo

Frames = UInt8[np.ndarray, "_ _ _ 3"]
"""Frames, rows, columns, and red, green and blue."""


def frame_step(video: ReencodedVideo, clip: ClipGeometry) -> int:
    """Return the number of frames of the file from one frame of a clip to the next.

    Raises:
        PipelineError: the frame rate of the clip does not divide that of the file.
    """
    step = round(video.fps / clip.fps)
    if step < 1 or abs(step * clip.fps - video.fps) > 1e-6 * video.fps:
        raise PipelineError(
            f"{video.path}: {video.fps:g} frames per second cannot give clips of {clip.fps:g}; "
            "make clip.fps divide reencode.fps"
        )
    return step


def num_clip_frames(video: ReencodedVideo, clip: ClipGeometry) -> int:
    """Return the number of frames of a video at the clip's frame rate."""
    return -(-video.frames // frame_step(video, clip))


class ClipReader:
    """Reads the frames of clips.

    Args:
        videos: the re-encoded videos, by id.
        clip: geometry of a clip.
        padding: where a video that is shorter than a clip gets frames: `end` repeats the last frame, `both` repeats the
            first and the last one, half of the missing frames each (of an odd number, the end gets one more).
    """

    def __init__(
        self, videos: Mapping[str, ReencodedVideo], clip: ClipGeometry, padding: Literal["end", "both"] = "end"
    ) -> None:
        self._videos, self._clip, self._padding = videos, clip, padding
        self._steps = {video: frame_step(row, clip) for video, row in videos.items()}
        self._cached: dict[str, Frames] = {}

    def read(self, video: str, start_frame: int) -> Frames:
        """Read a clip at its native size.

        If the video ends before the clip does, the clip is moved to the end of the video. If the video is shorter than
        a clip, frames are repeated.

        Args:
            video: id.
            start_frame: the first frame, counted at the clip's frame rate.

        Raises:
            PipelineError: the file cannot be decoded, has no frames there, or frames of another size than its table
                states.
        """
        row, length = self._videos[video], self._clip.frames
        frames = self._read_range(video, start_frame, start_frame + length)
        if len(frames) == 0:
            raise PipelineError(f"{row.path}: no frames after {start_frame / self._clip.fps:.2f} s; re-encode it")
        if len(frames) < length and start_frame > 0:
            frames = self._read_range(video, max(0, start_frame - length), start_frame + length)[-length:]
        if frames.shape[1:3] != (row.height, row.width):
            size = f"{frames.shape[2]} x {frames.shape[1]}"
            raise PipelineError(
                f"{row.path}: frames of {size}, expected {row.width} x {row.height}; re-encode the video"
            )
        return pad_clip(frames, length, self._padding)

    def _read_range(self, video: str, start: int, stop: int) -> Frames:
        """Read the existing frames from `start` to before `stop`, counted at the clip's frame rate."""
        if video in self._cached:
            return self._cached[video][start:stop]
        step = self._steps[video]
        path = self._videos[video].path
        return _stack_frames(read_frames(path, start=start * step, stop=(stop - 1) * step + 1, step=step))

    def cache(self, videos: Iterable[str], max_bytes: int, threads: int) -> None:
        """Decode whole videos into memory, in the given order, as long as they fit; skip those that cannot be decoded.

        Args:
            videos: ids.
            max_bytes: memory that they may take.
            threads: videos to decode at a time.
        """
        chosen, size = [], 0
        for video in videos:
            row = self._videos[video]
            needed = num_clip_frames(row, self._clip) * row.height * row.width * 3
            if size + needed <= max_bytes:
                chosen.append(video)
                size += needed
        progress = Progress("videos decoded", len(chosen))
        with ThreadPoolExecutor(threads) as pool:  # threads suffice: the decoder releases Python's lock
            for video, frames in zip(chosen, pool.map(self._decode, chosen), strict=True):
                if frames is not None:
                    self._cached[video] = frames
                progress.step()
        logging.info("%d videos in memory, %.2f GB", len(self._cached), size / 1e9)

    def is_cached(self, samples: Iterable[ClipSample]) -> bool:
        """Whether the videos of all samples are in memory."""
        return all(sample.video in self._cached for sample in samples)

    def _decode(self, video: str) -> Frames | None:
        """Decode a whole video; None if it is unreadable: reading a clip of it raises the error."""
        try:
            return _stack_frames(read_frames(self._videos[video].path, step=self._steps[video]))
        except PipelineError:
            return None


def pad_clip(frames: Frames, length: int, padding: Literal["end", "both"] = "end") -> Frames:
    """Repeat frames until there are `length` of them.

    Args:
        frames: at least one.
        length: number of frames.
        padding: `end` repeats the last frame, `both` the first and the last one equally often.
    """
    missing = length - len(frames)
    if missing <= 0:
        return frames
    before = missing // 2 if padding == "both" else 0
    first, last = np.repeat(frames[:1], before, axis=0), np.repeat(frames[-1:], missing - before, axis=0)
    return np.concatenate([first, frames, last])


def _stack_frames(decoded: Iterable[UInt8[np.ndarray, "_ _ 3"]]) -> Frames:
    frames = list(decoded)
    if len({frame.shape for frame in frames}) > 1:
        raise PipelineError("frames of several sizes in one file; re-encode it")
    return np.stack(frames) if frames else np.zeros((0, 0, 0, 3), dtype=np.uint8)
