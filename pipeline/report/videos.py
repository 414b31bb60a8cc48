"""What the page shows of a video: a strip of frames, and captions as a subtitle track."""

from pathlib import Path
from typing import Any

import matplotlib.image
import numpy as np
from jaxtyping import UInt8

from pipeline.io.atomic import replacing, write_text
from pipeline.video.decode import frames
from pipeline.video.shard import VideoRow

STRIP = 8


def draw_strip(video: VideoRow, output: Path) -> None:
    """`STRIP` frames spread evenly over the video, side by side, as PNG."""
    step = max(1, video.frames // STRIP)
    shown: list[UInt8[np.ndarray, "height width 3"]] = []
    for frame in frames(video.path, start=step // 2, step=step):
        shown.append(frame)
        if len(shown) == STRIP:
            break
    with replacing(output) as temporary:
        matplotlib.image.imsave(temporary, np.concatenate(shown, axis=1), metadata={"Software": ""})


def write_track(captions: list[dict[str, Any]], output: Path) -> None:
    """Captions as WebVTT.

    Args:
        captions: `timestamp` (seconds) and `sentence` of each.
        output: the .vtt to write.
    """
    cues = ["WEBVTT"]
    for caption in sorted(captions, key=lambda caption: caption["timestamp"]):
        start, end = caption["timestamp"]
        sentence = caption["sentence"].replace("-->", "").replace("&", "&amp;").replace("<", "&lt;")
        cues.append(f"{_clock(start)} --> {_clock(end)}\n{' '.join(sentence.split())}")
    write_text(output, "\n\n".join(cues) + "\n")


def _clock(seconds: float) -> str:
    """Hours, minutes, seconds and milliseconds, as WebVTT writes them."""
    milliseconds = round(seconds * 1000)
    minutes, milliseconds = divmod(milliseconds, 60_000)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02d}:{minutes:02d}:{milliseconds // 1000:02d}.{milliseconds % 1000:03d}"
