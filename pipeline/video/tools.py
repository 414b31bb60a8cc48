"""Which ffmpeg is used."""

import shutil
from pathlib import Path

import imageio_ffmpeg

from pipeline.config.errors import PipelineError


def ffmpeg() -> Path:
    """The ffmpeg on PATH, else the static build inside the imageio-ffmpeg wheel.

    Raises:
        PipelineError: neither is there.
    """
    found = shutil.which("ffmpeg")
    if found:
        return Path(found)
    try:
        return Path(imageio_ffmpeg.get_ffmpeg_exe())
    except RuntimeError:
        raise PipelineError("no ffmpeg: install it, or `pip install imageio-ffmpeg`, which carries one") from None
