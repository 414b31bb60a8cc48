"""Say what this machine has of what the pipeline needs, what is missing, and how to get it.

    python -m pipeline.commands.doctor

Ends with status 1 if something is missing that every run needs.
"""

import importlib.util
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from pipeline.config.command import command, parser
from pipeline.errors import PipelineError
from pipeline.evaluation.java import java, version
from pipeline.video.tools import ffmpeg

GB = 1e9
ENCODERS = ("libx264", "aac")


@dataclass(frozen=True)
class Finding:
    """One line of the report.

    Attributes:
        what: the thing looked for.
        state: "ok", "note" (some runs need it) or "missing" (every run needs it).
        detail: what was found, or how to get it.
    """

    what: str
    state: str
    detail: str


def examine() -> Iterator[Finding]:
    """Look at everything, in the order of the pipeline."""
    yield from _ffmpeg()
    yield _java()
    yield _spacy_model()
    yield _gpus()
    yield _shared_memory()
    yield _disk()


def _ffmpeg() -> Iterator[Finding]:
    try:
        binary = ffmpeg()
    except PipelineError as error:
        yield Finding("ffmpeg", "missing", str(error))
        return
    yield Finding("ffmpeg", "ok", f"{_first_line([str(binary), '-version'])} at {binary}")
    listed = subprocess.run([str(binary), "-hide_banner", "-encoders"], capture_output=True, text=True, check=False)
    known = {line.split()[1] for line in listed.stdout.splitlines() if len(line.split()) > 1}
    absent = [name for name in ENCODERS if name not in known]
    if absent:
        detail = f"lacks {', '.join(absent)}; take it off PATH and the one of imageio-ffmpeg is used, which has them"
        yield Finding("ffmpeg encoders", "missing", detail)
    else:
        yield Finding("ffmpeg encoders", "ok", ", ".join(ENCODERS))


def _java() -> Finding:
    try:
        return Finding("Java", "ok", f"{version()} at {java()}")
    except PipelineError as error:
        return Finding("Java", "missing", str(error))


def _spacy_model() -> Finding:
    if importlib.util.find_spec("en_core_web_sm"):
        return Finding("spaCy model", "ok", "en_core_web_sm")
    how = "python -m spacy download en_core_web_sm, or config: mine_concepts.tagger: lexicon (as the demo has it)"
    return Finding("spaCy model", "note", f"en_core_web_sm is not installed: {how}")


def _gpus() -> Finding:
    count = torch.cuda.device_count()
    if count:
        names = ", ".join(torch.cuda.get_device_name(index) for index in range(count))
        return Finding("GPUs", "ok", f"{count}: {names}")
    return Finding("GPUs", "note", f"none visible to torch {torch.__version__}: everything runs on the CPU")


def _shared_memory() -> Finding:
    folder = Path("/dev/shm")  # noqa: S108  # where torch's data workers hand over clips
    if not folder.is_dir():
        return Finding("shared memory", "note", "no /dev/shm; if data workers die, set config: workers: 0")
    free = shutil.disk_usage(folder).free / GB
    state, advice = ("ok", "") if free >= 1 else ("note", "; in a container give --shm-size=8g, or set workers: 0")
    return Finding("shared memory", state, f"{free:.1f} GB free in {folder}{advice}")


def _disk() -> Finding:
    here = Path.cwd()
    free = shutil.disk_usage(here).free / GB
    writable = os.access(here, os.W_OK)
    detail = f"{free:.0f} GB free in {here}; the demo takes 0.1, ActivityNet at 30 fps about 500"
    if not writable:
        return Finding("disk", "missing", f"{here} cannot be written to")
    return Finding("disk", "ok" if free >= 2 else "note", detail)


def _first_line(words: list[str]) -> str:
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    return " ".join((done.stdout or done.stderr).splitlines()[:1])[:60]


def show(findings: list[Finding], say: Callable[[str], None] = print) -> int:
    """Print the findings as a table; 1 if something is missing, else 0."""
    for finding in findings:
        say(f"{finding.state:8}{finding.what:17}{finding.detail}")
    return int(any(finding.state == "missing" for finding in findings))


@command
def main(argv: list[str] | None = None) -> int:
    """Command line."""
    parser(__doc__).parse_args(argv)
    return show(list(examine()))


if __name__ == "__main__":
    raise SystemExit(main())
