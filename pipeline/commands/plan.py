"""Show which jobs snakemake would run, why, and how long they may take. Nothing is run.

    sa-tsp plan results/demo_test_meteor.json
    sa-tsp plan results/anet_test_meteor.json --configfile mine.yaml
    sa-tsp plan results/anet_test_meteor.json --machine gpus=8,cores=64 --nodes 4 --videos 20000 --hours 650

In: the target, as for snakemake, which plans it in a dry run; provenance records, to find the setting or module that
changed; benchmark files of past runs, to estimate time.
Out: on the terminal, the rules in the order of the data flow, each with its number of jobs, reasons and time.

With --machine, the plan is simulated on another machine: time on the clock, GPU-hours, disk, and the longest chain of
jobs. Times come from your own past jobs of the same kind, scaled by the amount of work, else from rates that were
measured on a card (docs/clusters.md). With --videos and --hours, the plan begins with nothing and needs no input file.
"""

from argparse import Namespace
from collections import Counter
from pathlib import Path

from pipeline.config.command import build_parser, command
from pipeline.errors import PipelineError
from pipeline.io.progress import format_duration
from pipeline.monitor.schedule import find_critical_path
from pipeline.planning.cost import plan_jobs
from pipeline.planning.machine import parse_machine
from pipeline.planning.rates import shipped_rates
from pipeline.planning.run_plan import StatedSize, plan_run
from pipeline.planning.text import cost_lines
from pipeline.provenance.benchmarks import Benchmarks
from pipeline.provenance.jobs import Job, dry_run
from pipeline.provenance.reasons import Reason, find_reasons
from pipeline.provenance.settings import datasets_of_targets, overlay_changes

MAX_FILES = 3
"""Number of files that one line names."""
RESULTS = Path("results")
UP_TO_DATE = "nothing to do: everything is up to date"


def overlay_lines(targets: list[str], overlays: list[Path]) -> list[str]:
    """Describe what the user's configuration files change. A file that changes nothing gets a line, too."""
    lines = []
    for dataset in datasets_of_targets(targets or ["results/demo/"]) if overlays else []:
        for path, changes in overlay_changes(dataset, overlays).items():
            if changes:
                lines += [f"{path} changes for dataset {dataset}:", *(f"    {change}" for change in changes)]
            else:
                lines.append(f"{path} has no effect on dataset {dataset}: every key already has this value")
    return lines


def job_lines(jobs: list[Job], times: list[float | None]) -> list[str]:
    """Describe each rule: number of jobs, time and reasons.

    Args:
        jobs: in the order of the data flow.
        times: time of each job [s]; None where unknown.
    """
    producers = {path: job.rule for job in jobs for path in job.output}
    lines = []
    for rule in dict.fromkeys(job.rule for job in jobs if job.command):
        jobs_of_rule = [(job, time) for job, time in zip(jobs, times, strict=True) if job.rule == rule]
        estimates = [time for _, time in jobs_of_rule if time is not None]
        duration = format_duration(sum(estimates)) if len(estimates) == len(jobs_of_rule) else "time unknown"
        lines.append(f"{rule:20}{len(jobs_of_rule):5} job{'s' if len(jobs_of_rule) > 1 else ' '}   {duration}")
        lines += reason_lines([reason for job, _ in jobs_of_rule for reason in find_reasons(job, producers)])
    return lines


def reason_lines(reasons: list[Reason]) -> list[str]:
    """Describe the reasons of a rule's jobs by kind: one line per setting or module, and one line for all files."""
    lines = []
    for kind in dict.fromkeys(reason.kind for reason in reasons):
        details = list(dict.fromkeys(reason.detail for reason in reasons if reason.kind == kind and reason.detail))
        if kind in ("setting", "code"):
            lines += [f"    {kind} {detail}" for detail in details]
        elif details:
            more = f" and {len(details) - MAX_FILES} more" if len(details) > MAX_FILES else ""
            lines.append(f"    {kind}: {', '.join(details[:MAX_FILES])}{more}")
        else:
            lines.append(f"    {kind}")
    return lines


def total_lines(jobs: list[Job], times: list[float | None]) -> list[str]:
    """Describe the total: number of jobs, time, GPU-hours.

    Args:
        jobs: in the order of the data flow.
        times: time of each job [s]; None where unknown.
    """
    count = sum(job.command is not None for job in jobs)
    lines = [f"total: {count} job{'s' if count > 1 else ''}"]
    seconds = {index: time for index, time in enumerate(times) if time is not None}
    if total := sum(seconds.values()):
        critical = sum(seconds.get(job.id, 0.0) for job in find_critical_path(plan_jobs(jobs), seconds))
        gpu_hours = sum(jobs[index].gpus * time for index, time in seconds.items()) / 3600
        lines.append(
            f"{format_duration(total)} one after another, {format_duration(critical)} with unlimited cores,"
            f" {gpu_hours:.2g} GPU-hours (from past runs on this dataset)"
        )
    unknown = Counter(job.rule for job, time in zip(jobs, times, strict=True) if time is None)
    if unknown:
        rules = ", ".join(f"{rule} ({count})" for rule, count in unknown.items())
        lines.append(f"time and GPU-hours unknown until a job of the rule has run on this dataset: {rules}")
    return lines


def machine_lines(args: Namespace) -> list[str]:
    """Describe what the jobs cost on the machine that the user names."""
    machine = parse_machine(args.machine, args.nodes, shipped_rates().cards)
    stated = _stated_size(args)
    plan = plan_run(args.target, args.configfile, machine.cores, from_the_start=stated is not None)
    if not plan.jobs:
        return [UP_TO_DATE]
    sizes = plan.measure_sizes(stated)
    origin = "as its corpus" if stated is None else "as stated; divided and annotated like ActivityNet Captions"
    return cost_lines(plan.estimate(machine, sizes, RESULTS), machine, sizes, origin)


def _stated_size(args: Namespace) -> StatedSize | None:
    """Return the size that the user states, if any."""
    if (args.videos is None) != (args.hours is None):
        raise PipelineError("--videos and --hours: give both, or none to use the size of the corpus")
    return None if args.videos is None else StatedSize(args.videos, args.hours)


@command
def main(argv: list[str] | None = None) -> int:
    """Command line."""
    arguments = build_parser(__doc__, prog="sa-tsp plan")
    add = arguments.add_argument
    add("target", nargs="*", help="target, as for snakemake; default: the demo")
    add("--configfile", type=Path, nargs="+", default=[], help="your configuration files")
    add("--machine", metavar="gpus=N,cores=N", help="simulate the plan on this machine; card=NAME: its cards")
    add("--nodes", type=int, default=1, help="number of such machines, for example of a Slurm cluster; default: 1")
    add("--videos", type=int, help="number of videos of the dataset; default: those of its corpus")
    add("--hours", type=float, help="duration of all videos [h]; needs --videos")
    args = arguments.parse_args(argv)
    if args.machine is None and (args.nodes, args.videos, args.hours) != (1, None, None):
        raise PipelineError("--nodes, --videos and --hours need --machine, for example --machine gpus=8,cores=64")
    for line in overlay_lines(args.target, args.configfile):
        print(line)
    if args.machine is not None:
        print("\n".join(machine_lines(args)))
        return 0
    jobs = dry_run(args.target, args.configfile)
    if not jobs:
        print(UP_TO_DATE)
        return 0
    benchmarks = Benchmarks()
    times = [benchmarks.estimate_seconds(job.benchmark, job.rule, job.wildcards.get("dataset", "")) for job in jobs]
    print("\n".join([*job_lines(jobs, times), *total_lines(jobs, times)]))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
