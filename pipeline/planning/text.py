"""The text of an estimate: a line for each stage and kind of work, then the sums."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from pipeline.config.load import Config
from pipeline.io.progress import format_duration
from pipeline.planning.corpus_size import CorpusSize
from pipeline.planning.cost import JobCost, RunCost
from pipeline.planning.machine import Machine


@dataclass(frozen=True)
class StageCost:
    """The jobs of one stage that do the same kind of work.

    Attributes:
        stage: the stage.
        kind: the kind of work.
        jobs: what each of them costs.
        gpus: GPUs that a job occupies.
    """

    stage: str
    kind: str
    jobs: Sequence[JobCost]
    gpus: int

    @property
    def name(self) -> str:
        """The stage, and the kind where there are several."""
        return f"{self.stage} ({self.kind})" if self.kind else self.stage

    @property
    def work(self) -> str:
        """The work of all jobs."""
        return f"{sum(cost.part.amount for cost in self.jobs):,.0f} {self.jobs[0].part.unit}"

    @property
    def seconds(self) -> float | None:
        """The time of all jobs, one after another [s]; None if it is unknown."""
        times = [cost.seconds for cost in self.jobs if cost.seconds is not None]
        return sum(times) if len(times) == len(self.jobs) else None

    @property
    def longest(self) -> float:
        """The time of the longest job [s]."""
        return max(cost.seconds or 0.0 for cost in self.jobs)

    @property
    def gpu_hours(self) -> float:
        """GPUs times their time [h]."""
        return (self.seconds or 0.0) * self.gpus / 3600

    @property
    def origin(self) -> str:
        """Where the time comes from, and which part of the work decides it."""
        cost = self._decisive
        if cost.seconds is None:
            return f"UNKNOWN: no rate of {cost.limit.kind or self.stage}"
        limit = "" if cost.limit is cost.part else f", limited by {cost.limit.kind}"
        return f"{cost.source}{limit}"

    @property
    def derivation(self) -> str:
        """How the rate that decides the time was calculated from a measurement; empty if it was measured as it is."""
        rate = self._decisive.rate
        return rate.derived if rate else ""

    @property
    def _decisive(self) -> JobCost:
        """The job with the longest time, or one with an unknown time."""
        return max(self.jobs, key=lambda cost: math.inf if cost.seconds is None else cost.seconds)


def group_stages(cost: RunCost, machine: Machine) -> list[StageCost]:
    """Return the jobs by stage and kind of work, the stages in the order of the data flow."""
    groups: dict[tuple[str, str, int], list[JobCost]] = {}
    for job in cost.jobs:
        key = job.job.rule, job.part.kind, min(job.job.gpus, machine.gpus)
        groups.setdefault(key, []).append(job)
    order = list(Config.model_fields)
    keys = sorted(groups, key=lambda key: (order.index(key[0]), *key))
    return [StageCost(stage, kind, groups[stage, kind, gpus], gpus) for stage, kind, gpus in keys]


def find_derivations(stages: Iterable[StageCost]) -> dict[str, str]:
    """Return the stages whose rates were not measured as they are -> how the rates were calculated."""
    by_text: dict[str, list[str]] = {}
    for stage in stages:
        if stage.derivation:
            by_text.setdefault(stage.derivation, []).append(stage.name)
    return {", ".join(names): text for text, names in by_text.items()}


def cost_lines(cost: RunCost, machine: Machine, sizes: Mapping[str, CorpusSize], origin: str) -> list[str]:
    """Describe what a run costs on a machine.

    Args:
        cost: the estimate.
        machine: the machine.
        sizes: dataset -> its size.
        origin: where the sizes come from.
    """
    stages = group_stages(cost, machine)
    width = max(len(stage.name) for stage in stages)
    return [
        f"estimate for {machine}",
        *(f"dataset {dataset}: {size} ({origin})" for dataset, size in sizes.items()),
        "",
        f"{'stage':{width}}  jobs  {'all jobs':>10}  {'longest':>10}  {'GPU-hours':>9}  from",
        *(_stage_line(stage, width) for stage in stages),
        "",
        *(f"derived: {names}: {text}" for names, text in find_derivations(stages).items()),
        "",
        *total_lines(cost, stages),
    ]


def _stage_line(stage: StageCost, width: int) -> str:
    seconds = stage.seconds
    times = ["?", "?"] if seconds is None else [format_duration(seconds), format_duration(stage.longest)]
    gpu_hours = f"{stage.gpu_hours:.1f}" if stage.gpus and seconds is not None else ""
    numbers = f"{len(stage.jobs):>4}  {times[0]:>10}  {times[1]:>10}  {gpu_hours:>9}"
    return f"{stage.name:{width}}  {numbers}  {stage.origin}; {stage.work}"


def total_lines(cost: RunCost, stages: Sequence[StageCost]) -> list[str]:
    """Describe the sums, the longest chain of jobs, and what is left out."""
    unknown = [stage for stage in stages if stage.seconds is None]
    least = "at least " if unknown else ""
    lines = [
        f"total: {least}{format_duration(cost.seconds)} on the clock, {cost.gpu_hours:,.1f} GPU-hours, "
        f"{cost.disk_bytes / 1e9:,.1f} GB for features and re-encoded videos",
        f"longest chain of jobs, which more machines do not shorten: {format_duration(cost.critical_seconds)}: "
        f"{', '.join(describe_path(cost.critical_path))}",
    ]
    if unknown:
        names = ", ".join(f"{stage.name}: {len(stage.jobs)} job{'s' * (len(stage.jobs) > 1)}" for stage in unknown)
        lines.append(f"UNKNOWN AND NOT IN THESE SUMS, because nobody measured a rate: {names}")
    return lines


def describe_path(path: Iterable[JobCost]) -> list[str]:
    """Return stage, wildcards and time of each job of a chain, without jobs of less than a hundredth of it."""
    path = list(path)
    least = sum(cost.seconds or 0.0 for cost in path) / 100
    return [
        f"{cost.job.name} {format_duration(cost.seconds)}" for cost in path if cost.seconds and cost.seconds >= least
    ]
