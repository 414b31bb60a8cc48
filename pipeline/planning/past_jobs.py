"""Times of the user's own jobs, scaled by the amount of work: they are better than rates of somebody else's machine."""

import statistics
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.errors import PipelineError
from pipeline.planning.corpus_size import CorpusSize, measure_size
from pipeline.planning.work import WorkPart
from pipeline.provenance.benchmarks import last_run

GPU_MARK = "GPUs "
"""Beginning of the first line of the log of a job that had GPUs."""

FindWork = Callable[[str, Any, dict[str, str], CorpusSize], WorkPart]
"""From a rule, plain settings, wildcards and the size of a dataset to the main part of a job."""


@dataclass(frozen=True)
class PastJob:
    """A job that has run.

    Attributes:
        part: the main part of its work.
        has_gpu: whether it had GPUs.
        seconds: how long it took [s].
    """

    part: WorkPart
    has_gpu: bool
    seconds: float


@dataclass
class PastJobs:
    """The jobs that have run in this folder.

    Attributes:
        find_work: returns the main part of the work of a job.
        start_s: time that every job takes to start [s].
        results: folder of the results.
    """

    find_work: FindWork
    start_s: float
    results: Path
    _jobs: dict[Path, PastJob | None] = field(default_factory=dict)
    _sizes: dict[str, CorpusSize | None] = field(default_factory=dict)

    def estimate_seconds(self, rule: str, benchmark: Path | None, part: WorkPart, *, has_gpu: bool) -> float | None:
        """Estimate the time of a job [s]: from its own last run, else from the median rate of its kind; else None.

        Args:
            rule: the rule of the job.
            benchmark: the benchmark file of the job.
            part: the main part of its work.
            has_gpu: whether the job will have GPUs.
        """
        files = [benchmark] if benchmark and benchmark.is_file() else []
        for paths in (files, self._files_of(rule)):
            jobs = [job for path in paths if (job := self._read(rule, path)) is not None]
            alike = [job for job in jobs if job.part.kind == part.kind and job.has_gpu == has_gpu]
            times = [self._scale(job, part) for job in alike if job.part.amount or not part.amount]
            if times:
                return statistics.median(times)
        return None

    def _scale(self, job: PastJob, part: WorkPart) -> float:
        """Return the time of a past job if it had another amount of work [s]; its start takes as long as before."""
        start = min(job.seconds, self.start_s)
        return start + (job.seconds - start) * (part.amount / job.part.amount if job.part.amount else 1.0)

    def _files_of(self, rule: str) -> list[Path]:
        folders = sorted(self.results.glob("*/benchmarks"))
        return [
            path for folder in folders for path in (folder / f"{rule}.jsonl", *sorted((folder / rule).rglob("*.jsonl")))
        ]

    def _read(self, rule: str, path: Path) -> PastJob | None:
        if path not in self._jobs:
            self._jobs[path] = self._parse(rule, path)
        return self._jobs[path]

    def _parse(self, rule: str, path: Path) -> PastJob | None:
        """Return a past job; None if its settings or the size of its dataset are unknown."""
        entry = last_run(path)
        if entry is None or "wildcards" not in entry:
            return None
        wildcards = entry["wildcards"]
        size = self._size_of(wildcards.get("dataset", ""))
        if size is None:
            return None
        try:
            part = self.find_work(rule, entry.get("params", {}).get("config"), wildcards, size)
        except PipelineError:
            return None  # settings of another version cannot be compared
        log = Path(*("logs" if word == "benchmarks" else word for word in path.parts)).with_suffix(".log")
        with_gpu = log.is_file() and log.read_text(encoding="utf-8", errors="replace").startswith(GPU_MARK)
        return PastJob(part, with_gpu, float(entry["s"]))

    def _size_of(self, dataset: str) -> CorpusSize | None:
        if dataset not in self._sizes:
            manifest = self.results / dataset / "corpus" / "manifest.json"
            self._sizes[dataset] = measure_size(manifest) if manifest.is_file() else None
        return self._sizes[dataset]
