"""Pictures, videos and a page of Grad-CAM maps."""

import html
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import matplotlib
import matplotlib.pyplot as plt
import numpy as np
from jaxtyping import UInt8

from pipeline.io.atomic import replace_atomically, write_text

Overlay = UInt8[np.ndarray, "frames size size 3"]

X264 = {"crf": "18", "x264-params": "mbtree=0"}
"""Options of x264.

The macroblock tree is off, because x264 decides on it by memory that it did not write: films of equal frames differed.
"""


@dataclass(frozen=True)
class TitledOverlay:
    """Frames with the heat of one map.

    Attributes:
        title: what the map is of: a class or a word.
        frames: the frames.
    """

    title: str
    frames: Overlay


@dataclass(frozen=True)
class ClipPage:
    """The files of a clip.

    Attributes:
        video: id.
        lines: what the page says of the clip.
        titles: titles of the maps.
        picture: file of the picture.
        films: file of the video of each map.
    """

    video: str
    lines: Sequence[str]
    titles: Sequence[str]
    picture: Path
    films: Sequence[Path]


def write_film(path: Path, frames: Overlay, fps: float) -> None:
    """Write frames of even height and width as H.264, the same bytes for the same frames."""
    with replace_atomically(path) as temporary, av.open(str(temporary), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(fps).limit_denominator(1000), options=X264)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        stream.thread_count = 1
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode(None))


def write_picture(path: Path, overlays: Sequence[TitledOverlay], columns: int) -> None:
    """Write a picture: a row of frames for each map.

    Args:
        path: the file.
        overlays: the maps of a clip.
        columns: number of frames, evenly spaced in time.
    """
    matplotlib.use("Agg")
    figure, axes = plt.subplots(len(overlays), 1, figsize=(1.4 * columns, 1.7 * len(overlays)), squeeze=False)
    for axis, overlay in zip(axes[:, 0], overlays, strict=True):
        indices = np.linspace(0, len(overlay.frames) - 1, columns).round().astype(int)
        axis.imshow(np.concatenate(list(overlay.frames[indices]), axis=1))
        axis.set_title(overlay.title, fontsize=9, loc="left")
        axis.axis("off")
    figure.tight_layout(pad=0.3)
    with replace_atomically(path) as temporary:
        figure.savefig(temporary, dpi=80, metadata={"Software": None})
    plt.close(figure)


def write_page(path: Path, title: str, clips: Sequence[ClipPage]) -> None:
    """Write a page that shows picture and videos of each clip, with what is known of it."""
    parts = [f"<!doctype html><meta charset='utf-8'><title>{html.escape(title)}</title><h1>{html.escape(title)}</h1>"]
    for clip in clips:
        parts.append(f"<h2>{html.escape(clip.video)}</h2>")
        parts += [f"<p>{html.escape(line)}</p>" for line in clip.lines]
        parts.append(f"<p><img src='{html.escape(clip.picture.name)}' alt='frames with maps'></p>")
        for name, film in zip(clip.titles, clip.films, strict=True):
            source = html.escape(film.name)
            parts.append(
                f"<figure style='display:inline-block'><video src='{source}' controls loop muted></video>"
                f"<figcaption>{html.escape(name)}</figcaption></figure>"
            )
    write_text(path, "\n".join([*parts, ""]))
