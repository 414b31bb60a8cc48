"""The table of docs/activitynet.md: what the real run costs, estimated from the shipped rates alone.

make generate
"""

import dataclasses
from collections.abc import Sequence

from pipeline.planning.corpus_size import CorpusSize
from pipeline.planning.cost import RunCost
from pipeline.planning.machine import Machine
from pipeline.planning.run_plan import RunPlan, StatedSize, plan_run
from pipeline.planning.text import StageCost, find_derivations, group_stages

TARGET = "results/anet_test_meteor.json"
NODE = Machine(cores=64, gpus=8, card="h100")
SIZES = {"20,000 videos": StatedSize(20_000, 650.0), "10 million videos": StatedSize(10_000_000, 325_000.0)}
NODES = {"one node": 1, "Slurm, 4 nodes": 4}
HOURS_PER_YEAR = 24 * 365.25


def real_run_table() -> str:
    """Return the tables of the real run: the sums on each machine, then the stages at ActivityNet's size."""
    plan = plan_run([TARGET], [], NODE.cores, from_the_start=True)
    costs = {
        f"{videos}, {nodes}": _estimate(plan, size, dataclasses.replace(NODE, nodes=count))
        for videos, size in SIZES.items()
        for nodes, count in NODES.items()
    }
    size = plan.measure_sizes(SIZES["20,000 videos"])["anet"]
    stages = group_stages(next(iter(costs.values())), NODE)
    derived = _table(["derived", "how"], [[names, text] for names, text in find_derivations(stages).items()])
    return "\n\n".join([_sums_table(costs), _inputs(plan, size), _stages_table(stages), derived])


def _estimate(plan: RunPlan, size: StatedSize, machine: Machine) -> RunCost:
    return plan.estimate(machine, plan.measure_sizes(size), None)


def _sums_table(costs: dict[str, RunCost]) -> str:
    rows = [
        ["time on the clock", *(_time(cost.seconds) for cost in costs.values())],
        ["longest chain of jobs", *(_time(cost.critical_seconds) for cost in costs.values())],
        ["GPU-hours", *(f"{cost.gpu_hours:,.0f}" for cost in costs.values())],
        ["disk: features, videos", *(f"{cost.disk_bytes / 1e12:,.1f} TB" for cost in costs.values())],
    ]
    return _table(["estimate", *costs], rows)


def _inputs(plan: RunPlan, size: CorpusSize) -> str:
    count = sum(job.command is not None for job in plan.jobs)
    return (
        f"Inputs: nodes with {NODE.cores} cores and {NODE.gpus} GPUs ({NODE.card}), and at the smaller size\n"
        f"{size}. The plan has {count:,} jobs.\n"
        f"Videos of the larger size are as long, and annotated alike."
    )


def _stages_table(stages: Sequence[StageCost]) -> str:
    rows = []
    for stage in stages:
        seconds = stage.seconds
        times = ["unknown", "unknown"] if seconds is None else [_time(seconds), _time(stage.longest)]
        gpu_hours = f"{stage.gpu_hours:,.1f}" if stage.gpus and seconds is not None else ""
        rows.append([stage.name, f"{len(stage.jobs)}", stage.work, *times, gpu_hours, stage.origin])
    return _table(["stage", "jobs", "work", "all jobs", "longest job", "GPU-hours", "from"], rows)


def _time(seconds: float) -> str:
    hours = seconds / 3600
    if hours >= 2 * HOURS_PER_YEAR:
        return f"{hours / HOURS_PER_YEAR:,.0f} years"
    return f"{hours:,.0f} h" if hours >= 10 else f"{hours:.1f} h" if hours >= 0.1 else f"{seconds:.0f} s"


def _table(head: list[str], rows: list[list[str]]) -> str:
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [head, ["---"] * len(head), *rows])
