"""Progress of long loops: a bar on a terminal, else a log line a minute; and a small file, from which others read it.

The rules name the file in the environment variable SA_TSP_PROGRESS. The monitor of a run (`pipeline.monitor`) reads it.
"""

import atexit
import contextlib
import itertools
import json
import logging
import math
import os
import sys
import threading
import time
import weakref
from dataclasses import asdict, dataclass
from pathlib import Path

from pipeline.errors import PipelineError
from pipeline.io.atomic import write_text

PROGRESS_FILE = "SA_TSP_PROGRESS"
"""Environment variable that names the file in which a process reports its progress; without it, it writes none."""
WRITE_INTERVAL_S = 1.0
"""Seconds between two updates of the file."""
BAR_INTERVAL_S = 0.2
"""Seconds between two updates of the bar."""
BAR_WIDTH = 30
"""Width of the bar, characters."""


@dataclass(frozen=True)
class LoopState:
    """How far a loop is.

    Attributes:
        unit: what it counts, in the plural.
        first: number of items that were finished before the loop started, by an earlier run.
        done: number of finished items, with those.
        total: number of items, with those.
        seconds: time since the loop started [s].
        first_share: share of the loop that was finished before it started, with the first steps of an inner loop.
        share: share of the loop that is finished, with the steps of inner loops.
    """

    unit: str
    first: int
    done: int
    total: int
    seconds: float
    first_share: float
    share: float

    @property
    def seconds_left(self) -> float | None:
        """Estimated time until the loop ends [s]; None before anything is finished."""
        finished = self.share - self.first_share
        return self.seconds * (1 - self.share) / finished if finished > 0 else None


class Progress:
    """Progress of a long loop: a bar on a terminal, otherwise one log line per interval.

    Loops may be nested: an inner loop is a part of one step of the outer loop.

    Args:
        unit: what the loop counts, in the plural.
        total: number of items.
        first: number of items that an earlier run has finished.
        interval_s: seconds between two lines.
    """

    def __init__(self, unit: str, total: int, first: int = 0, interval_s: float = 60.0) -> None:
        self.unit, self.total, self.first, self.num_done = unit, total, first, first
        is_first_process = logging.getLogger().isEnabledFor(logging.INFO)
        self._bar = sys.stderr.isatty() and is_first_process
        self._is_drawn = False
        self.interval_s = min(interval_s, BAR_INTERVAL_S) if self._bar else interval_s
        self._start = self._last_output = time.monotonic()
        self.share = self.first_share = first / total if total else 1.0
        self._file = _progress_file if is_first_process and os.environ.get(PROGRESS_FILE) else None
        if self._file and total > first:
            self._file.add(self)

    def step(self, count: int = 1) -> None:
        """Count finished items; show the progress if the interval has passed."""
        self.num_done += count
        self.share = max(self.share, self.num_done / self.total)
        if self._file:
            self._file.update(self)
        now = time.monotonic()
        if self._is_drawn and self.num_done >= self.total:
            print("\r\033[K", end="", file=sys.stderr, flush=True)  # erase the bar at the end
        elif now - self._last_output >= self.interval_s and self.num_done > self.first:
            self._last_output = now
            seconds_left = (now - self._start) / (self.num_done - self.first) * (self.total - self.num_done)
            status = f"{self.num_done} of {self.total}, about {format_duration(seconds_left)} left"
            if self._bar:
                self._is_drawn = True
                filled = BAR_WIDTH * self.num_done // self.total
                bar = "#" * filled + "." * (BAR_WIDTH - filled)
                # The cursor returns to the start of the line, so that the next line of the log overwrites the bar.
                print(f"\r{self.unit} [{bar}] {status}\033[K\r", end="", file=sys.stderr, flush=True)
            else:
                logging.info("%s: %s", self.unit, status)

    def state(self) -> LoopState:
        """Return how far the loop is."""
        seconds = time.monotonic() - self._start
        return LoopState(self.unit, self.first, self.num_done, self.total, seconds, self.first_share, self.share)

    def enclose(self, inner: "Progress") -> None:
        """Count the finished share of an inner loop as a part of the present step."""
        share = min(1.0, (self.num_done + inner.share) / self.total)
        # What an earlier run did of the inner loop took no time in this one.
        if self.share == self.first_share and inner.share == inner.first_share:
            self.first_share = share
        # A step may hold several inner loops, such as training and validation: the share never goes back.
        self.share = max(self.share, share)


class _ProgressFile:
    """The file that holds the running loops of this process, the outermost first.

    A file that cannot be written stops nothing: the log gets one warning.
    """

    def __init__(self) -> None:
        # Weak, so that a loop that was left before its end goes with the function that ran it.
        self._loops: list[weakref.ref[Progress]] = []
        self._outermost: weakref.ref[Progress] | None = None
        self._path: Path | None = None
        self._last_write = -math.inf
        self._is_writable = True
        self._lock = threading.Lock()

    def add(self, loop: Progress) -> None:
        """Add a loop inside the running loops."""
        with self._lock:
            self._loops.append(weakref.ref(loop))
            self._propagate_shares()
            self._write()

    def update(self, loop: Progress) -> None:
        """Report a step of a loop. Loops inside it have ended; the loop itself ends with its last step."""
        with self._lock:
            position = next((index for index, one in enumerate(self._loops) if one() is loop), None)
            if position is None:
                return
            is_finished = loop.num_done >= loop.total
            is_in_file = self._outermost is self._loops[position]
            del self._loops[position + 1 :]
            self._propagate_shares()
            del self._loops[position + (not is_finished) :]
            self._write(at_once=is_finished and is_in_file)

    def _propagate_shares(self) -> None:
        """Count the share of each loop in the loop around it."""
        loops = self._running_loops()
        for inner, outer in itertools.pairwise(reversed(loops)):
            outer.enclose(inner)

    def _running_loops(self) -> list[Progress]:
        return [loop for one in self._loops if (loop := one()) is not None]

    def _write(self, *, at_once: bool = False) -> None:
        """Write the file, at most once per interval."""
        now = time.monotonic()
        if not self._is_writable or not (at_once or now - self._last_write >= WRITE_INTERVAL_S):
            return
        if self._path is None:
            self._path = Path(os.environ[PROGRESS_FILE])
            atexit.register(_remove, self._path)
        loops = self._running_loops()
        self._loops = [weakref.ref(loop) for loop in loops]
        states = [asdict(loop.state()) for loop in loops]
        try:
            write_text(self._path, json.dumps(states))
        except PipelineError as error:
            self._is_writable = False
            logging.warning("%s; the job goes on, and its progress is not shown", error)
            return
        self._last_write, self._outermost = now, self._loops[0] if self._loops else None


_progress_file = _ProgressFile()


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink(missing_ok=True)


def progress_path(log: Path) -> Path:
    """Return the file in which a job reports its progress, from the job's log file."""
    return log.with_suffix(".progress.json")


def read_progress(path: Path) -> list[LoopState]:
    """Read the running loops of a job, the outermost first; none if the job has not reported any."""
    try:
        return [LoopState(**entry) for entry in json.loads(path.read_text(encoding="utf-8"))]
    except (OSError, ValueError, TypeError):
        return []  # not written yet, removed, or of another version of the code


def format_duration(seconds: float) -> str:
    """Format a duration in hours, minutes or seconds."""
    for unit, size in (("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"
