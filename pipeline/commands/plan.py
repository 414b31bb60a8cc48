"""Say what snakemake would run, why, and what it may take.

    python -m pipeline.commands.plan results/demo_test_meteor.json
    python -m pipeline.commands.plan results/anet_test_meteor.json --configfile mine.yaml

In: the target, as it would be given to snakemake, which is asked in a dry run; the provenance of what is there, to name
the setting or module that changed; the benchmark files of past runs, to estimate time.
Out: on the terminal, rules in the order of the data flow with their number of jobs, reasons and time. Nothing is run.
"""

from pathlib import Path

from pipeline.config.command import command, parser
from pipeline.provenance.benchmarks import Benchmarks, Estimate, estimate
from pipeline.provenance.jobs import Job, dry_run
from pipeline.provenance.overlays import changes, datasets_of
from pipeline.provenance.reasons import Reason, why

SHOWN = 3
"""Files of one kind that are named."""


def overlay_lines(targets: list[str], overlays: list[Path]) -> list[str]:
    """What the user's configuration files change; a file that changes nothing is said."""
    lines = []
    for dataset in datasets_of(targets or ["results/demo/"]) if overlays else []:
        for path, found in changes(dataset, overlays).items():
            if found:
                lines += [f"{path} changes for {dataset}", *(f"    {change}" for change in found)]
            else:
                lines.append(f"{path} changes nothing for {dataset}: all it says is so without it")
    return lines


def job_lines(jobs: list[Job], times: list[float | None]) -> list[str]:
    """Each rule with its jobs, time and reasons.

    Args:
        jobs: in the order of the data flow.
        times: seconds of each; None where unknown.
    """
    makers = {path: job.rule for job in jobs for path in job.output}
    lines = []
    for rule in dict.fromkeys(job.rule for job in jobs if job.command):
        own = [(job, time) for job, time in zip(jobs, times, strict=True) if job.rule == rule]
        known = [time for _, time in own if time is not None]
        taken = span(sum(known)) if len(known) == len(own) else "time unknown"
        lines.append(f"{rule:20}{len(own):5} job{'s' if len(own) > 1 else ' '}   {taken}")
        lines += reason_lines([reason for job, _ in own for reason in why(job, makers)])
    return lines


def reason_lines(reasons: list[Reason]) -> list[str]:
    """Reasons of the jobs of a rule, those of one kind together: settings and modules line by line, files in one."""
    lines = []
    for kind in dict.fromkeys(reason.kind for reason in reasons):
        details = list(dict.fromkeys(reason.detail for reason in reasons if reason.kind == kind and reason.detail))
        if kind in ("setting", "code"):
            lines += [f"    {kind} {detail}" for detail in details]
        elif details:
            more = f" and {len(details) - SHOWN} more" if len(details) > SHOWN else ""
            lines.append(f"    {kind}: {', '.join(details[:SHOWN])}{more}")
        else:
            lines.append(f"    {kind}")
    return lines


def total_lines(jobs: list[Job], found: Estimate) -> list[str]:
    """The sum."""
    count = sum(job.command is not None for job in jobs)
    lines = [f"{count} job{'s' if count > 1 else ''} in all"]
    if found.seconds:
        lines.append(
            f"{span(found.seconds)} one after another, {span(found.chain)} with any number of cores,"
            f" {found.gpu_hours:.2g} GPU-hours (from past runs on this dataset)"
        )
    if found.unknown:
        listed = ", ".join(f"{rule} ({count})" for rule, count in found.unknown.items())
        lines.append(f"time and GPU-hours unknown, since never run on this dataset: {listed}")
    return lines


def span(seconds: float) -> str:
    """A time as people say it."""
    for unit, size in (("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"


@command
def main(argv: list[str] | None = None) -> int:
    """Command line."""
    arguments = parser(__doc__)
    arguments.add_argument("target", nargs="*", help="what snakemake would be asked for; without: the demo")
    arguments.add_argument("--configfile", type=Path, nargs="+", default=[], help="your configuration files")
    args = arguments.parse_args(argv)
    for line in overlay_lines(args.target, args.configfile):
        print(line)
    jobs = dry_run(args.target, args.configfile)
    if not jobs:
        print("nothing to do: all is there, and up to date")
        return 0
    clock = Benchmarks()
    times = [clock.seconds(job) for job in jobs]
    print("\n".join([*job_lines(jobs, times), *total_lines(jobs, estimate(jobs, times))]))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
