"""What planned jobs cost on a machine: time on the clock, GPU-hours, disk, and the chain that decides the time."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pipeline.config.load import Config, load_config, stages
from pipeline.monitor.schedule import PlannedJob, find_critical_path, simulate
from pipeline.planning.corpus_size import CorpusSize
from pipeline.planning.machine import Machine
from pipeline.planning.past_jobs import PastJobs
from pipeline.planning.rates import CPU, Rate, ShippedRates
from pipeline.planning.work import JobContext, WorkPart, count_feature_bytes, find_work
from pipeline.provenance.jobs import Job

Source = Literal["past jobs", "measured", "derived"]
"""Where a time comes from: own past jobs, measured rates, or rates that were calculated from others."""


@dataclass(frozen=True)
class JobCost:
    """What one job costs.

    Attributes:
        job: the job.
        part: the main part of its work.
        seconds: its time [s]; None if a rate is missing.
        limit: the part that decides the time, or that has no rate.
        source: where the time comes from; None if it is unknown.
        rate: the shipped rate of the part that decides the time; None if the time is that of past jobs.
        disk_bytes: size of the features or videos that it writes [bytes].
    """

    job: Job
    part: WorkPart
    seconds: float | None
    limit: WorkPart
    source: Source | None
    rate: Rate | None
    disk_bytes: float


@dataclass(frozen=True)
class RunCost:
    """What a run costs on a machine; jobs without a time are left out.

    Attributes:
        jobs: what each job costs.
        seconds: time until the last job ends [s].
        gpu_hours: sum over the GPUs that jobs occupy [h].
        disk_bytes: size of features and re-encoded videos [bytes].
        critical_path: the chain of dependent jobs that takes longest.
    """

    jobs: Sequence[JobCost]
    seconds: float
    gpu_hours: float
    disk_bytes: float
    critical_path: Sequence[JobCost]

    @property
    def critical_seconds(self) -> float:
        """Time of the critical path [s]."""
        return sum(cost.seconds or 0.0 for cost in self.critical_path)


class CostModel:
    """Estimates what jobs cost.

    Args:
        machine: the machine.
        rates: rates of cards and cores.
        sizes: dataset -> its size.
        configs: dataset -> its configuration; other datasets have that of their files.
        results: folder of the results with past jobs; None: only rates count.
    """

    def __init__(
        self,
        machine: Machine,
        rates: ShippedRates,
        sizes: Mapping[str, CorpusSize],
        configs: Mapping[str, Config],
        results: Path | None,
    ) -> None:
        self._machine, self._rates, self._sizes, self._configs = machine, rates, sizes, dict(configs)
        self._past = PastJobs(self._main_part, rates.start_s, results) if results is not None else None

    def estimate_run(self, jobs: Sequence[Job]) -> RunCost:
        """Estimate what a run costs.

        Args:
            jobs: in the order of the data flow.
        """
        planned = plan_jobs(jobs)
        costs = {job.id: self.estimate_job(jobs[job.id]) for job in planned if jobs[job.id].command}
        seconds = {key: cost.seconds or 0.0 for key, cost in costs.items()}
        seconds |= {job.id: 0.0 for job in planned if job.id not in costs}
        used_gpus = {key: min(cost.job.gpus, self._machine.gpus) for key, cost in costs.items()}
        return RunCost(
            jobs=list(costs.values()),
            seconds=simulate(planned, seconds, [], self._machine.capacity),
            gpu_hours=sum(count * seconds[key] for key, count in used_gpus.items()) / 3600,
            disk_bytes=sum(cost.disk_bytes for cost in costs.values()),
            critical_path=[costs[job.id] for job in find_critical_path(planned, seconds) if job.id in costs],
        )

    def estimate_job(self, job: Job) -> JobCost:
        """Estimate what a job costs."""
        context = self._context(job.rule, job.settings(), job.wildcards, self._sizes[job.wildcards["dataset"]])
        parts = find_work(job.rule, context)
        disk = self._count_bytes(job.rule, context)
        has_gpu = min(job.gpus, self._machine.gpus) > 0
        if self._past is not None:
            past = self._past.estimate_seconds(job.rule, job.benchmark, parts[0], has_gpu=has_gpu)
            if past is not None:
                return JobCost(job, parts[0], past, parts[0], "past jobs", None, disk)
        return self._apply_rates(job, parts, disk, has_gpu=has_gpu)

    def _apply_rates(self, job: Job, parts: list[WorkPart], disk: float, *, has_gpu: bool) -> JobCost:
        times: list[tuple[float, WorkPart, Rate]] = []
        for part in parts if parts[0].amount else []:
            rate = self._rates.find(job.rule, part.kind, self._machine.card if has_gpu and part.is_main else CPU)
            if rate is None:
                return JobCost(job, parts[0], None, part, None, None, disk)
            times.append((part.amount / rate.per_second, part, rate))
        if not times:  # an encoder with its initial weights trains nothing
            return JobCost(job, parts[0], self._rates.start_s, parts[0], "measured", None, disk)
        seconds, limit, rate = max(times, key=lambda time: time[0])
        source: Source = "derived" if rate.derived else "measured"
        return JobCost(job, parts[0], self._rates.start_s + seconds, limit, source, rate, disk)

    def _context(self, rule: str, settings: Any, wildcards: Mapping[str, str], size: CorpusSize) -> JobContext:
        section = stages()[rule].parse(settings, rule)
        dataset = wildcards["dataset"]
        if dataset not in self._configs:
            self._configs[dataset] = load_config(dataset, {})
        return JobContext(getattr(section, "root", section), wildcards, size, self._configs[dataset])

    def _main_part(self, rule: str, settings: str, wildcards: dict[str, str], size: CorpusSize) -> WorkPart:
        """Return the main part of the work of a past job."""
        return find_work(rule, self._context(rule, json.loads(settings), wildcards, size))[0]

    def _count_bytes(self, rule: str, context: JobContext) -> float:
        if rule == "extract_features":
            return count_feature_bytes(context)
        seconds = context.size.seconds / context.num_shards if rule == "reencode" else 0.0
        return seconds * self._rates.video_bytes


def plan_jobs(jobs: Sequence[Job]) -> list[PlannedJob]:
    """Return the jobs as the simulation of the scheduler takes them; the id of a job is its index.

    Args:
        jobs: in the order of the data flow.
    """
    producers = {path: index for index, job in enumerate(jobs) for path in job.output}
    return [
        PlannedJob(
            id=index,
            rule=job.rule,
            wildcards=job.wildcards,
            needs=frozenset(producers[path] for path in job.input if path in producers),
            threads=job.threads,
            gpus=job.gpus,
        )
        for index, job in enumerate(jobs)
    ]
