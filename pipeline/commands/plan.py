"""Show which jobs snakemake would run, why, and how long they may take. Nothing is run.

    sa-tsp plan results/demo_test_meteor.json
    sa-tsp plan results/anet_test_meteor.json --configfile mine.yaml

In: the target, as for snakemake, which plans it in a dry run; provenance records, to find the setting or module that
changed; benchmark files of past runs, to estimate time.
Out: on the terminal, the rules in the order of the data flow, each with its number of jobs, reasons and time.
"""

from pathlib import Path

from pipeline.config.command import build_parser, command
from pipeline.io.progress import format_duration
from pipeline.provenance.benchmarks import Benchmarks
from pipeline.provenance.jobs import CostEstimate, Job, dry_run, estimate_cost
from pipeline.provenance.reasons import Reason, find_reasons
from pipeline.provenance.settings import datasets_of_targets, overlay_changes

MAX_FILES = 3
"""Number of files that one line names."""


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


def total_lines(jobs: list[Job], estimate: CostEstimate) -> list[str]:
    """Describe the total: number of jobs, time, GPU-hours."""
    count = sum(job.command is not None for job in jobs)
    lines = [f"total: {count} job{'s' if count > 1 else ''}"]
    if estimate.seconds:
        lines.append(
            f"{format_duration(estimate.seconds)} one after another,"
            f" {format_duration(estimate.critical_path)} with unlimited cores,"
            f" {estimate.gpu_hours:.2g} GPU-hours (from past runs on this dataset)"
        )
    if estimate.unknown:
        rules = ", ".join(f"{rule} ({count})" for rule, count in estimate.unknown.items())
        lines.append(f"time and GPU-hours unknown until a job of the rule has run on this dataset: {rules}")
    return lines


@command
def main(argv: list[str] | None = None) -> int:
    """Command line."""
    arguments = build_parser(__doc__, prog="sa-tsp plan")
    arguments.add_argument("target", nargs="*", help="target, as for snakemake; default: the demo")
    arguments.add_argument("--configfile", type=Path, nargs="+", default=[], help="your configuration files")
    args = arguments.parse_args(argv)
    for line in overlay_lines(args.target, args.configfile):
        print(line)
    jobs = dry_run(args.target, args.configfile)
    if not jobs:
        print("nothing to do: everything is up to date")
        return 0
    benchmarks = Benchmarks()
    times = [benchmarks.estimate_seconds(job.benchmark, job.rule, job.wildcards.get("dataset", "")) for job in jobs]
    print("\n".join([*job_lines(jobs, times), *total_lines(jobs, estimate_cost(jobs, times))]))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
