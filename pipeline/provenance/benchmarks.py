"""What jobs took before, from the files that snakemake keeps: `results/<dataset>/benchmarks/<rule>[/...].jsonl`."""

import json
import statistics
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.config.variants import split_name
from pipeline.errors import PipelineError
from pipeline.provenance.jobs import Job


def last_run(path: Path) -> dict[str, Any] | None:
    """What snakemake noted of a job's last run; None if it noted nothing.

    Raises:
        PipelineError: not such a file.
    """
    if not path.is_file() or not (lines := path.read_text(encoding="utf-8").splitlines()):
        return None
    try:
        noted = json.loads(lines[-1])
        float(noted["s"])
    except (ValueError, TypeError, KeyError):
        raise PipelineError(
            f"{path}: no benchmark as snakemake writes it; delete it, it only serves estimates"
        ) from None
    return dict(noted)


@dataclass
class Benchmarks:
    """Times of past jobs.

    Attributes:
        results: folder of the results.
    """

    results: Path = Path("results")
    _medians: dict[tuple[str, str], float | None] = field(default_factory=dict)

    def seconds(self, job: Job) -> float | None:
        """What a job may take: what it took last, else the median of its rule on this dataset.

        A dataset `<name>_s<seed>` is as large as `<name>`, so their times count for each other. Other datasets' do not.
        """
        if job.benchmark is None:
            return 0.0
        if noted := last_run(job.benchmark):
            return float(noted["s"])
        dataset = job.wildcards["dataset"]
        variant = split_name(dataset)
        key = variant[0] if variant else dataset, job.rule
        if key not in self._medians:
            self._medians[key] = self._median(*key)
        return self._medians[key]

    def _median(self, base: str, rule: str) -> float | None:
        folders = [
            folder
            for folder in sorted(self.results.glob(f"{base}*/benchmarks"))
            if folder.parent.name == base or (split_name(folder.parent.name) or ("", 0))[0] == base
        ]
        files = [path for folder in folders for path in (folder / f"{rule}.jsonl", *(folder / rule).rglob("*.jsonl"))]
        taken = [float(noted["s"]) for path in files if (noted := last_run(path))]
        return statistics.median(taken) if taken else None


@dataclass(frozen=True)
class Estimate:
    """What some jobs may take.

    Attributes:
        seconds: of all jobs one after another, those with an estimate.
        chain: seconds of the longest chain of jobs that wait for each other: no number of cores makes it shorter.
        gpu_hours: as far as the rules ask for GPUs.
        unknown: rule -> number of jobs without an estimate.
    """

    seconds: float
    chain: float
    gpu_hours: float
    unknown: dict[str, int]


def estimate(jobs: list[Job], times: list[float | None]) -> Estimate:
    """Sum up.

    Args:
        jobs: in the order of the data flow.
        times: seconds of each; None where unknown.
    """
    ends: dict[Path, float] = {}
    unknown: dict[str, int] = {}
    for job, time in zip(jobs, times, strict=True):
        if time is None:
            unknown[job.rule] = unknown.get(job.rule, 0) + 1
        end = max((ends.get(path, 0.0) for path in job.input), default=0.0) + (time or 0.0)
        ends.update(dict.fromkeys(job.output, end))
    known = [(job, time) for job, time in zip(jobs, times, strict=True) if time is not None]
    return Estimate(
        seconds=sum(time for _, time in known),
        chain=max(ends.values(), default=0.0),
        gpu_hours=sum(job.gpus * time for job, time in known) / 3600,
        unknown=unknown,
    )
