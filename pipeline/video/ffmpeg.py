"""The ffmpeg executable that the pipeline uses."""

import functools
import shutil
import subprocess
from pathlib import Path

from pipeline.errors import PipelineError


def find_ffmpeg() -> Path:
    """Return the ffmpeg on PATH, or else the static build of the imageio-ffmpeg wheel.

    Raises:
        PipelineError: neither is installed.
    """
    on_path = shutil.which("ffmpeg")
    if on_path:
        return Path(on_path)
    try:
        import imageio_ffmpeg  # re-encoded videos are read without ffmpeg

        return Path(imageio_ffmpeg.get_ffmpeg_exe())
    except (ImportError, RuntimeError):
        raise PipelineError("no ffmpeg: install it, or `pip install imageio-ffmpeg`, which contains one") from None


def ffmpeg_version() -> str:
    """Return the version of the ffmpeg in use, for example `7.1.1` or `n9.0.2-17-g2a571b6068-20260930`.

    Raises:
        PipelineError: ffmpeg is not installed or does not start.
    """
    return _version(find_ffmpeg())


@functools.cache
def _version(executable: Path) -> str:
    try:
        process = subprocess.run([executable, "-version"], stdin=subprocess.DEVNULL, capture_output=True, check=False)
    except OSError as error:
        raise PipelineError(f"{executable}: cannot be started ({error.strerror})") from None
    words = process.stdout.decode(errors="replace").split()
    if process.returncode != 0 or words[:2] != ["ffmpeg", "version"] or len(words) < 3:
        raise PipelineError(
            f"{executable}: is not a working ffmpeg (`{executable} -version` fails); repair or remove it"
        )
    return words[2]
