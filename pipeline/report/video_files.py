"""Files that the page shows of a video: a strip of frames, and captions as a WebVTT subtitle track."""

from pathlib import Path
from typing import Any

import matplotlib.image
import numpy as np
from jaxtyping import UInt8

from pipeline.io.atomic import replace_atomically, write_text
from pipeline.video.decode import read_frames
from pipeline.video.shard import ReencodedVideo

STRIP_FRAMES = 8
"""Number of frames in a strip."""


def draw_frame_strip(video: ReencodedVideo, output: Path) -> None:
    """Write `STRIP_FRAMES` frames, evenly spaced over the video, side by side as a PNG.

    Args:
        video: the re-encoded video; a shorter one gives fewer frames.
        output: the PNG to write.
    """
    step = max(1, video.frames // STRIP_FRAMES)
    strip: list[UInt8[np.ndarray, "height width 3"]] = []
    for frame in read_frames(video.path, start=step // 2, step=step):
        strip.append(frame)
        if len(strip) == STRIP_FRAMES:
            break
    with replace_atomically(output) as temporary:
        matplotlib.image.imsave(temporary, np.concatenate(strip, axis=1), metadata={"Software": ""})


def write_webvtt(captions: list[dict[str, Any]], output: Path) -> None:
    """Write captions as a WebVTT file, sorted by time.

    Args:
        captions: each with `timestamp` (start and end, seconds) and `sentence`.
        output: the .vtt to write.
    """
    cues = ["WEBVTT"]
    for caption in sorted(captions, key=lambda caption: caption["timestamp"]):
        start, end = caption["timestamp"]
        sentence = caption["sentence"].replace("-->", "").replace("&", "&amp;").replace("<", "&lt;")
        cues.append(f"{_format_time(start)} --> {_format_time(end)}\n{' '.join(sentence.split())}")
    write_text(output, "\n\n".join(cues) + "\n")


def _format_time(seconds: float) -> str:
    """Format a time as WebVTT does: hours, minutes, seconds and milliseconds."""
    milliseconds = round(seconds * 1000)
    minutes, milliseconds = divmod(milliseconds, 60_000)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02d}:{minutes:02d}:{milliseconds // 1000:02d}.{milliseconds % 1000:03d}"
