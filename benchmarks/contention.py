"""Time training and extraction on a machine with other work, with and without the pipeline's settings of threads.

Three jobs: a training step of a small 3D network, the extraction of features, a training step of the captioner. Each
runs alone, beside one and two processes that never wait, and beside a second job of its kind. A job has the threads of
its rule: all cores for training, one for the others. `--threads` sets another number for all jobs, as when a user
starts a stage without snakemake. `before` is PyTorch as it is: it is loaded before the pipeline sets anything. `after`
is what every stage does (pipeline/threads.py). All sides take turns in every round. The factors are medians over the
rounds, each relative to the same round.

    python benchmarks/contention.py --rounds 5 --json contention.json
    python benchmarks/contention.py --threads 2
    python benchmarks/contention.py --jobs training --spins 0 1000 10000 100000
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from pipeline.threads import WAIT_VARIABLES, count_cores

from contention_jobs import JOBS

ROOT = Path(__file__).resolve().parents[1]
ALONE, PAIR = "alone", "two side by side"
NUM_BUSY = {ALONE: 0, "beside one busy process": 1, "beside two busy processes": 2, PAIR: 0}
"""Conditions, and the number of processes of each that never wait."""
IMPORTS = {"before": "import torch, pipeline", "after": "import pipeline, torch"}
"""Sides: the libraries read the settings of threads when they are loaded."""
RULE_THREADS = {"extraction": 1, "captioner training": 1}
"""Threads of the rules of jobs; all cores for the others."""
MAX_FACTOR = {ALONE: 1.05, "beside one busy process": 2.2, PAIR: 2.0}
"""Aims for `after`: the time of a step relative to `after` alone; that of `after` alone relative to `before` alone."""


class Job:
    """A process that runs steps when it is asked to.

    Args:
        name: name of the job.
        imports: statement that loads PyTorch and the pipeline.
        environment: variables of threads.
    """

    def __init__(self, name: str, imports: str, environment: dict[str, str]) -> None:
        code = f"{imports}; from contention_jobs import main; main()"
        inherited = {key: value for key, value in os.environ.items() if not _is_of_threads(key)}
        paths = {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "benchmarks")])}
        self._process = subprocess.Popen(
            [sys.executable, "-c", code, name],
            env=inherited | paths | environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> "Job":
        return self

    def __exit__(self, *_error: object) -> None:
        self._process.kill()
        self._process.communicate()

    def start(self, seconds: float) -> None:
        """Start to run steps for some seconds."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{seconds}\n")
        self._process.stdin.flush()

    def read(self) -> str:
        """Wait for the next line: `ready`, then the seconds per step of each run.

        Raises:
            RuntimeError: the process ended.
        """
        assert self._process.stdout is not None
        line = self._process.stdout.readline().strip()
        if not line:
            raise RuntimeError(f"a job ended with status {self._process.wait()}; its errors are above")
        return line


def _is_of_threads(variable: str) -> bool:
    return variable in WAIT_VARIABLES or variable.endswith("_NUM_THREADS")


@contextmanager
def busy_processes(count: int) -> Iterator[None]:
    """Keep cores busy with some processes that never wait."""
    processes = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def measure(jobs: Sequence[Job], seconds: float) -> float:
    """Run jobs at the same time; return the seconds per step and job, the mean of the rates if there are several."""
    for job in jobs:
        job.start(seconds)
    return statistics.harmonic_mean([float(job.read()) for job in jobs])


Times = dict[tuple[str, str], list[float]]
"""Seconds per step of each round, by condition and side."""


def measure_job(name: str, sides: dict[str, tuple[str, dict[str, str]]], rounds: int, seconds: float) -> Times:
    """Measure a job in all conditions and with all sides, which take turns.

    Args:
        name: name of the job.
        sides: how each side loads PyTorch, and its variables of threads.
        rounds: number of rounds.
        seconds: length of each measurement [s].
    """
    times: Times = {}
    with ExitStack() as stack:
        pairs = {
            side: [stack.enter_context(Job(name, *settings)) for _ in range(2)] for side, settings in sides.items()
        }
        for pair in pairs.values():
            for job in pair:
                job.read()
        for number in range(rounds):
            for condition, count in NUM_BUSY.items():
                with busy_processes(count):
                    for side in [*sides] if number % 2 == 0 else reversed([*sides]):
                        jobs = pairs[side] if condition == PAIR else pairs[side][:1]
                        times.setdefault((condition, side), []).append(measure(jobs, seconds))
    return times


def rows_of(name: str, threads: int, times: Times) -> list[dict[str, Any]]:
    """Return the rows of the table of one job."""
    rows = []
    for (condition, side), values in times.items():
        base = times[ALONE, "before" if condition == ALONE else side]
        factor = statistics.median(value / first for value, first in zip(values, base, strict=True))
        rows.append(
            {
                "job": name,
                "threads": threads,
                "condition": condition,
                "side": side,
                "ms_per_step": 1000 * statistics.median(values),
                "factor": factor,
                "passed": side != "after" or factor <= MAX_FACTOR.get(condition, factor),
            }
        )
    return rows


def print_rows(rows: Sequence[dict[str, Any]]) -> None:
    """Print each condition of a job: milliseconds per step of each side, and the factor to the aim."""
    for row in rows:
        base = "before" if row["condition"] == ALONE else f"{row['side']} alone"
        text = f"{row['job']:20}{row['condition']:28}{row['side']:12}{row['ms_per_step']:9.1f} ms"
        print(f"{text}{row['factor']:8.2f} x {base}{'' if row['passed'] else '  missed'}", flush=True)


def main() -> None:
    """Measure all jobs; exit with an error if an aim is missed."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--jobs", nargs="+", choices=[*JOBS], default=[*JOBS], help="jobs to measure")
    arguments.add_argument("--rounds", type=int, default=5, help="rounds; all sides take turns in each")
    arguments.add_argument("--seconds", type=float, default=3.0, help="length of each measurement [s]")
    arguments.add_argument("--threads", type=int, help="threads of each job (default: those of its rule)")
    arguments.add_argument("--spins", type=int, nargs="*", default=[], help="further sides: values of GOMP_SPINCOUNT")
    arguments.add_argument("--json", type=Path, help="file for the record")
    args = arguments.parse_args()
    load, rows = [os.getloadavg()[0]], []
    for name in args.jobs:
        count = args.threads or RULE_THREADS.get(name, count_cores())
        threads = {"OMP_NUM_THREADS": str(count)}
        sides = {side: (imports, threads) for side, imports in IMPORTS.items()}
        for spins in args.spins:
            sides[f"spin {spins}"] = (IMPORTS["after"], threads | {"GOMP_SPINCOUNT": str(spins)})
        rows += rows_of(name, count, measure_job(name, sides, args.rounds, args.seconds))
        print_rows(rows[-len(sides) * len(NUM_BUSY) :])
        load.append(os.getloadavg()[0])
    if args.json:
        record = {"cores": count_cores(), "rounds": args.rounds, "seconds": args.seconds}
        args.json.write_text(json.dumps(record | {"load": load, "rows": rows}, indent=1) + "\n", encoding="utf-8")
    if not all(row["passed"] for row in rows):
        raise SystemExit(f"missed: {sum(not row['passed'] for row in rows)} of the aims")


if __name__ == "__main__":
    main()
