"""Which ffmpeg is used."""

import functools
import shutil
import subprocess
from pathlib import Path

import imageio_ffmpeg

from pipeline.errors import PipelineError


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


def ffmpeg_version() -> str:
    """What the ffmpeg in use calls its version, `7.1.1` or `n9.0.2-17-g2a571b6068-20260930`, say.

    Raises:
        PipelineError: there is none, or it does not start.
    """
    return _version(ffmpeg())


@functools.cache
def _version(binary: Path) -> str:
    try:
        done = subprocess.run([binary, "-version"], stdin=subprocess.DEVNULL, capture_output=True, check=False)
    except OSError as error:
        raise PipelineError(f"{binary}: cannot be started ({error.strerror})") from None
    words = done.stdout.decode(errors="replace").split()
    if done.returncode != 0 or words[:2] != ["ffmpeg", "version"] or len(words) < 3:
        raise PipelineError(f"{binary}: is not an ffmpeg that works (`{binary} -version` fails); mend or remove it")
    return words[2]
