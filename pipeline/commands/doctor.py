"""Check this machine: what the pipeline needs, what is missing, and how to install it.

    sa-tsp doctor

Ends with status 1 if something is missing that every run needs.
"""

import importlib.util
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from pipeline.config.command import build_parser, command
from pipeline.errors import PipelineError
from pipeline.evaluation.java import find_java, java_version
from pipeline.video.ffmpeg import find_ffmpeg

GB = 1e9
ENCODERS = ("libx264", "aac")


@dataclass(frozen=True)
class CheckResult:
    """The result of one check.

    Attributes:
        subject: what was checked.
        state: "ok", "note" (some runs need it) or "missing" (every run needs it).
        detail: what is there, or how to install it.
    """

    subject: str
    state: Literal["ok", "note", "missing"]
    detail: str


def run_checks() -> Iterator[CheckResult]:
    """Run all checks in the order of the pipeline."""
    yield from _check_ffmpeg()
    yield _check_java()
    yield _check_spacy_model()
    yield _check_gpus()
    yield _check_shared_memory()
    yield _check_disk()


def _check_ffmpeg() -> Iterator[CheckResult]:
    try:
        binary = find_ffmpeg()
    except PipelineError as error:
        yield CheckResult("ffmpeg", "missing", str(error))
        return
    yield CheckResult("ffmpeg", "ok", f"{_first_line([str(binary), '-version'])} at {binary}")
    process = subprocess.run([str(binary), "-hide_banner", "-encoders"], capture_output=True, text=True, check=False)
    available = {line.split()[1] for line in process.stdout.splitlines() if len(line.split()) > 1}
    missing = [name for name in ENCODERS if name not in available]
    if missing:
        remedy = "remove it from PATH to use the ffmpeg of imageio-ffmpeg, which has them"
        yield CheckResult("ffmpeg encoders", "missing", f"{', '.join(missing)} not available; {remedy}")
    else:
        yield CheckResult("ffmpeg encoders", "ok", ", ".join(ENCODERS))


def _check_java() -> CheckResult:
    try:
        return CheckResult("Java", "ok", f"{java_version()} at {find_java()}")
    except PipelineError as error:
        return CheckResult("Java", "missing", str(error))


def _check_spacy_model() -> CheckResult:
    if importlib.util.find_spec("en_core_web_sm"):
        return CheckResult("spaCy model", "ok", "en_core_web_sm")
    remedy = "python -m spacy download en_core_web_sm, or set mine_concepts.tagger: lexicon (as the demo does)"
    return CheckResult("spaCy model", "note", f"en_core_web_sm is not installed: {remedy}")


def _check_gpus() -> CheckResult:
    count = torch.cuda.device_count()
    if count:
        names = ", ".join(torch.cuda.get_device_name(index) for index in range(count))
        return CheckResult("GPUs", "ok", f"{count}: {names}")
    return CheckResult("GPUs", "note", f"none visible to torch {torch.__version__}: everything runs on the CPU")


def _check_shared_memory() -> CheckResult:
    folder = Path("/dev/shm")  # noqa: S108  # torch's data-loader workers pass clips through it
    if not folder.is_dir():
        return CheckResult("shared memory", "note", "no /dev/shm; if data-loader workers die, set workers: 0")
    free = shutil.disk_usage(folder).free / GB
    detail = f"{free:.1f} GB free in {folder}"
    if free >= 1:
        return CheckResult("shared memory", "ok", detail)
    return CheckResult("shared memory", "note", f"{detail}; in a container use --shm-size=8g, or set workers: 0")


def _check_disk() -> CheckResult:
    folder = Path.cwd()
    if not os.access(folder, os.W_OK):
        return CheckResult("disk", "missing", f"{folder} is not writable")
    free = shutil.disk_usage(folder).free / GB
    detail = f"{free:.0f} GB free in {folder}; the demo needs 0.1 GB, ActivityNet at 30 fps about 500 GB"
    return CheckResult("disk", "ok" if free >= 2 else "note", detail)


def _first_line(command_line: list[str]) -> str:
    process = subprocess.run(command_line, capture_output=True, text=True, check=False)
    return " ".join((process.stdout or process.stderr).splitlines()[:1])[:60]


def print_checks(checks: list[CheckResult], write: Callable[[str], None] = print) -> int:
    """Print the checks as a table; return 1 if something is missing, else 0."""
    for check in checks:
        write(f"{check.state:8}{check.subject:17}{check.detail}")
    return int(any(check.state == "missing" for check in checks))


@command
def main(argv: list[str] | None = None) -> int:
    """Command line."""
    build_parser(__doc__, prog="sa-tsp doctor").parse_args(argv)
    return print_checks(list(run_checks()))


if __name__ == "__main__":
    raise SystemExit(main())
