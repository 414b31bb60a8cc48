"""Run a command on GPUs that no other job uses: Snakemake counts GPUs, but does not assign them to jobs.

    python -m workflow.scripts.gpu_lease --gpus 1 -- python -m pipeline.pretrain_encoder ...

Each device has a lock file. A job takes all its devices at once or none, under the lock of the table, so that two jobs
never wait for each other. The command replaces this process and inherits the open locks: the lease ends when the last
process that holds it ends, by any signal. If a scheduler or the user has set CUDA_VISIBLE_DEVICES, only those devices
are used. Without GPUs the command runs on the CPU; with `--gpus 0` it sees no GPU.

With `--processes N` the command `python -m MODULE ...` is run by N processes of one group (torchrun), which share the
threads of the job.
"""

import argparse
import fcntl
import os
import re
import sys
import tempfile
import time
from itertools import takewhile
from pathlib import Path

POLL_S = (0.01, 0.5)
"""The first and the longest pause between two attempts [s]."""


def visible_devices() -> list[str]:
    """Return the names of the devices that this process may use, as in CUDA_VISIBLE_DEVICES."""
    value = os.environ.get("CUDA_VISIBLE_DEVICES")
    if value is not None:
        # As in CUDA, an invalid name (-1, Slurm's NoDevFiles) hides itself and all names after it.
        names = (name.strip() for name in value.split(","))
        return list(takewhile(lambda name: re.fullmatch(r"\d+|(GPU|MIG)-.+", name), names))
    return [str(index) for index in range(len(list(Path("/dev").glob("nvidia[0-9]*"))))]


def slurm_job() -> str:
    """Return the Slurm job that has these GPUs; empty if Slurm assigned no GPU.

    Slurm assigns no device to two jobs, but may number the devices of each job from 0. Devices of the same name in two
    jobs are therefore different, and only jobs in one allocation share devices.
    """
    # Any of these variables is enough: Snakemake's executor removes some of Slurm's variables from some of its jobs.
    assigned = {"SLURM_STEP_GPUS", "SLURM_JOB_GPUS", "GPU_DEVICE_ORDINAL"} & os.environ.keys()
    return os.environ.get("SLURM_JOB_ID", "") if assigned else ""


def acquire(devices: list[str], count: int, table: Path) -> tuple[list[str], list[int]]:
    """Wait for `count` free devices.

    Args:
        devices: names to choose from.
        count: number of devices.
        table: folder of the lock files, shared by all jobs of this machine.

    Returns:
        the devices, and the open descriptors that hold them.
    """
    table.mkdir(parents=True, exist_ok=True)
    wait_s, longest_s = POLL_S
    reported = False
    while True:
        with (table / "table.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            lease = _try_acquire(devices, count, table)
        if lease:
            return lease
        if not reported:
            print(f"waiting for {count} of the GPUs {', '.join(devices)}", file=sys.stderr, flush=True)
            reported = True
        time.sleep(wait_s)
        wait_s = min(2 * wait_s, longest_s)


def _try_acquire(devices: list[str], count: int, table: Path) -> tuple[list[str], list[int]] | None:
    """Return `count` free devices, or None without holding any."""
    leased: dict[str, int] = {}
    for device in devices:
        descriptor = os.open(table / f"{device.replace('/', '_')}.lock", os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            continue
        leased[device] = descriptor
        if len(leased) == count:
            return list(leased), list(leased.values())
    for descriptor in leased.values():
        os.close(descriptor)
    return None


def distributed_command(command: list[str], processes: int) -> list[str]:
    """Return the command line that runs a command in several processes by torchrun.

    Args:
        command: `python -m MODULE ...`.
        processes: number of processes; 1 returns the command unchanged.
    """
    if processes == 1:
        return command
    python, *rest = command
    return [python, "-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={processes}", *rest]


def share_threads(environment: dict[str, str], processes: int) -> dict[str, str]:
    """Return an environment in which each process of a job has its share of the job's threads, at least one.

    Snakemake sets the number of threads of a job: OMP_NUM_THREADS and the like.

    Args:
        environment: environment of the job.
        processes: number of processes.
    """
    counts = {name: value for name, value in environment.items() if name.endswith("_NUM_THREADS") and value.isdigit()}
    return environment | {name: str(max(1, int(value) // processes)) for name, value in counts.items()}


def main(argv: list[str] | None = None) -> int:
    """Command line: `--gpus N -- COMMAND...`; ends with the command's status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gpus", type=int, default=1, help="number of devices")
    parser.add_argument("--processes", type=int, default=1, help="number of processes that run the command")
    parser.add_argument("--table", type=Path, default=Path(tempfile.gettempdir()) / f"gpu-lease-{os.getuid()}")
    parser.add_argument("command", nargs=argparse.REMAINDER, help="after --")
    args = parser.parse_args(argv)
    command = distributed_command(args.command[1:] if args.command[:1] == ["--"] else args.command, args.processes)
    devices = visible_devices() if args.gpus else []
    environment = share_threads(dict(os.environ), args.processes)
    descriptors: list[int] = []
    if devices:
        available, needed = min(args.gpus, len(devices)), max(args.gpus, args.processes)
        if available < needed:
            print(f"error: {needed} GPUs requested, {available} available", file=sys.stderr)
            return 2
        job = slurm_job()
        leased, descriptors = acquire(devices, args.gpus, args.table / f"slurm-{job}" if job else args.table)
        environment["CUDA_VISIBLE_DEVICES"] = ",".join(leased)
        print(f"GPUs {','.join(leased)}" + (f" of Slurm job {job}" if job else ""), file=sys.stderr)
    elif not args.gpus:
        environment["CUDA_VISIBLE_DEVICES"] = ""  # hide all devices, because none was leased
    for descriptor in descriptors:
        os.set_inheritable(descriptor, True)
    sys.stdout.flush()
    sys.stderr.flush()
    # The command replaces this process, so that signals reach it and no wrapper can die alone.
    try:
        os.execvpe(command[0], command, environment)  # noqa: S606
    except OSError as error:
        print(f"error: {command[0]}: {error.strerror}", file=sys.stderr)
        return 127


if __name__ == "__main__":
    raise SystemExit(main())
