"""Run a command on GPUs of its own: Snakemake counts GPUs but does not say which job has which.

    python -m workflow.scripts.gpu_lease --gpus 1 -- python -m pipeline.pretrain_encoder ...

One lock file per device. All devices that a job asks for are taken at once or not at all, under the lock of the
table, so that two jobs never wait for each other. The command takes this process's place and inherits the open
locks: the lease ends when the last process that holds it does, by whatever signal. Where a scheduler, or the user, has
set CUDA_VISIBLE_DEVICES, devices are chosen from those and no others. Without GPUs the command just runs, on the CPU;
with `--gpus 0` it sees none.

With `--processes N` a command `python -m MODULE ...` is run by N processes that know of each other (torchrun).
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
"""The first and the longest wait between two looks."""


def visible() -> list[str]:
    """Names of the devices that this process may use, as CUDA_VISIBLE_DEVICES would list them."""
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    if given is not None:
        # As CUDA reads it: an invalid name (-1, Slurm's NoDevFiles) hides itself and all that follow.
        names = (name.strip() for name in given.split(","))
        return list(takewhile(lambda name: re.fullmatch(r"\d+|(GPU|MIG)-.+", name), names))
    return [str(index) for index in range(len(list(Path("/dev").glob("nvidia[0-9]*"))))]


def scheduled() -> str:
    """The Slurm job whose GPUs these are; empty where Slurm assigned none, whatever else it did.

    Slurm gives no device to two jobs, but may count each job's own from 0. So a device of a job is another than the
    device of the same name of another job, and only jobs in one allocation have to share.
    """
    assigned = os.environ.get("SLURM_STEP_GPUS") or os.environ.get("SLURM_JOB_GPUS")
    return os.environ.get("SLURM_JOB_ID", "") if assigned else ""


def acquire(devices: list[str], count: int, table: Path) -> tuple[list[str], list[int]]:
    """Wait for `count` free devices.

    Args:
        devices: names to choose from.
        count: how many.
        table: folder of the lock files, shared by all jobs of this machine.

    Returns:
        the devices, and the open descriptors that hold them.
    """
    table.mkdir(parents=True, exist_ok=True)
    wait_s, longest_s = POLL_S
    told = False
    while True:
        with (table / "table.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            taken = _take(devices, count, table)
        if taken:
            return taken
        if not told:
            print(f"waiting for {count} of the GPUs {', '.join(devices)}", file=sys.stderr, flush=True)
            told = True
        time.sleep(wait_s)
        wait_s = min(2 * wait_s, longest_s)


def _take(devices: list[str], count: int, table: Path) -> tuple[list[str], list[int]] | None:
    """`count` devices that nobody holds, or None and nothing held."""
    held: dict[str, int] = {}
    for device in devices:
        descriptor = os.open(table / f"{device.replace('/', '_')}.lock", os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            continue
        held[device] = descriptor
        if len(held) == count:
            return list(held), list(held.values())
    for descriptor in held.values():
        os.close(descriptor)
    return None


def shared(command: list[str], processes: int) -> list[str]:
    """The command as torchrun has to be called for it, if several processes are to run it.

    Args:
        command: `python -m MODULE ...`.
        processes: how many.
    """
    if processes == 1:
        return command
    python, *rest = command
    return [python, "-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={processes}", *rest]


def main(argv: list[str] | None = None) -> int:
    """Command line: `--gpus N -- COMMAND...`; ends with the command's status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gpus", type=int, default=1, help="devices that the command needs")
    parser.add_argument("--processes", type=int, default=1, help="processes that run the command together")
    parser.add_argument("--table", type=Path, default=Path(tempfile.gettempdir()) / f"gpu-lease-{os.getuid()}")
    parser.add_argument("command", nargs=argparse.REMAINDER, help="after --")
    args = parser.parse_args(argv)
    command = shared(args.command[1:] if args.command[:1] == ["--"] else args.command, args.processes)
    devices = visible() if args.gpus else []
    environment = dict(os.environ)
    descriptors: list[int] = []
    if devices:
        have, needed = min(args.gpus, len(devices)), max(args.gpus, args.processes)
        if have < needed:
            print(f"error: {needed} GPUs are asked for, there are {have}", file=sys.stderr)
            return 2
        job = scheduled()
        chosen, descriptors = acquire(devices, args.gpus, args.table / f"slurm-{job}" if job else args.table)
        environment["CUDA_VISIBLE_DEVICES"] = ",".join(chosen)
        print(f"GPUs {','.join(chosen)}" + (f" of Slurm job {job}" if job else ""), file=sys.stderr)
    elif not args.gpus:
        environment["CUDA_VISIBLE_DEVICES"] = ""  # none was leased, so none may be used
    for descriptor in descriptors:
        os.set_inheritable(descriptor, True)
    sys.stdout.flush()
    sys.stderr.flush()
    # The command takes this process's place: signals reach it, and no wrapper can die without it.
    try:
        os.execvpe(command[0], command, environment)  # noqa: S606
    except OSError as error:
        print(f"error: {command[0]}: {error.strerror}", file=sys.stderr)
        return 127


if __name__ == "__main__":
    raise SystemExit(main())
