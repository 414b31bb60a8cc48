"""A Slurm of one machine with fake GPUs, for as long as a command or a test runs.

    python tests/helpers/small_slurm.py sinfo

Controller, node and munge are started as root in one folder, on free ports; commands find them by SLURM_CONF. The
remains of an earlier run that was killed are taken down first. If the machine runs another Slurm, none is started.
"""

import contextlib
import fcntl
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

HERE = Path(tempfile.gettempdir()) / "sa-tsp-slurm"
"""Folder of the small Slurm; only one runs at a time."""

SYSTEM_CONF = Path("/etc/slurm/slurm.conf")
PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scontrol", "scancel")
TIMEOUT_S = 60

JobEvent = tuple[float, str, int, list[str]]
"""Start or end of a job: time [s], "prolog_slurmd" or "epilog_slurmd", the job, its GPUs."""

CONF = """
ClusterName=tests
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller_port}
SlurmdPort={node_port}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
SchedulerType=sched/backfill
SchedulerParameters=bf_interval=1,sched_min_interval=100000,batch_sched_delay=0
MinJobAge=900
KillWait=2
ReturnToService=2
# The node may declare more than the machine has: jobs request the resources of real data.
SlurmdParameters=config_overrides
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
PlugStackConfig={folder}/plugstack.conf
Prolog={folder}/record.sh
Epilog={folder}/record.sh
PrologFlags=Alloc
GresTypes=gpu
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory=1000000 Gres=gpu:{gpus} State=UNKNOWN
PartitionName=main Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""

RECORD_SCRIPT = """#!/bin/sh
# slurmd runs this at the start and the end of each job; it records the GPUs of the job and the time.
echo "$(date +%s.%N) $SLURM_SCRIPT_CONTEXT $SLURM_JOB_ID ${{SLURM_JOB_GPUS:--}}" >> {folder}/jobs.txt
"""


class NoSlurmError(RuntimeError):
    """The reason why no Slurm can run here."""


@dataclass(frozen=True)
class Slurm:
    """A running Slurm.

    Attributes:
        folder: folder of its files.
        environment: environment variables by which commands find it.
    """

    folder: Path
    environment: dict[str, str]

    def job_events(self) -> list[JobEvent]:
        """Return the starts and ends of all jobs in their order."""
        path = self.folder / "jobs.txt"
        lines = [line.split() for line in path.read_text().splitlines()] if path.exists() else []
        return [(float(at), what, int(job), [] if gpus == "-" else gpus.split(",")) for at, what, job, gpus in lines]


def slurm_processes(folder: Path) -> list[int]:
    """Return the processes of the Slurm in a folder; their command lines name it."""
    processes = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            words = path.read_bytes().decode(errors="replace").split("\0")
            if Path(words[0]).name in PROGRAMS[:3] and any(f"{folder}/" in word for word in words[1:]):
                processes.append(int(path.parent.name))
    return processes


def refusal(folder: Path) -> str:
    """Return why no Slurm may be started here; empty if one may."""
    absent = [name for name in PROGRAMS if not shutil.which(name)]
    if absent:
        return f"Slurm is not installed ({', '.join(absent)}): apt-get install slurm-wlm munge"
    if os.getuid():
        return "fake GPUs are made by mknod, which needs root"
    if SYSTEM_CONF.exists():
        return f"{SYSTEM_CONF} exists: this machine belongs to a Slurm of its own"
    running = subprocess.run(["pidof", "slurmctld", "slurmd"], capture_output=True, text=True, check=False).stdout
    foreign = set(map(int, running.split())) - set(slurm_processes(folder))
    if foreign:
        return f"another Slurm runs here (process {', '.join(map(str, sorted(foreign)))})"
    return ""


def take_down(folder: Path) -> None:
    """End the jobs and daemons of a folder, and remove it."""
    if (folder / "slurm.conf").exists() and slurm_processes(folder):
        environment = {**os.environ, "SLURM_CONF": str(folder / "slurm.conf")}
        words = ["scancel", "--quiet", "--full", "--signal=KILL", "--user=root"]
        with contextlib.suppress(subprocess.TimeoutExpired):
            subprocess.run(words, env=environment, capture_output=True, check=False, timeout=20)
    for sign in (signal.SIGTERM, signal.SIGKILL):
        for process in slurm_processes(folder):
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, sign)
        with contextlib.suppress(RuntimeError):
            _until(lambda: not slurm_processes(folder), "the daemons to end", 10)
    shutil.rmtree(folder, ignore_errors=True)


def _until(condition: Callable[[], bool], what: str, timeout_s: float = TIMEOUT_S) -> None:
    end = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > end:
            raise RuntimeError(f"waited {timeout_s:.0f} s for {what}")
        time.sleep(0.05)


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for item in sockets:
            item.bind(("127.0.0.1", 0))
        return [item.getsockname()[1] for item in sockets]


def _write(folder: Path, gpus: int, cpus: int) -> None:
    host = socket.gethostname().split(".")[0]
    controller_port, node_port = _free_ports(2)
    for name in ("state", "spool"):
        (folder / name).mkdir()
    for gpu in range(gpus):
        # A null device under a GPU's name: Slurm counts and assigns it, but no job computes on it.
        os.mknod(folder / f"nvidia{gpu}", 0o666 | 0o020000, os.makedev(1, 3))
    (folder / "gres.conf").write_text(f"NodeName={host} Name=gpu File={folder}/nvidia[0-{gpus - 1}]\n")
    (folder / "slurm.conf").write_text(
        CONF.format(
            host=host, folder=folder, controller_port=controller_port, node_port=node_port, gpus=gpus, cpus=cpus
        )
    )
    (folder / "plugstack.conf").write_text("")
    (folder / "record.sh").write_text(RECORD_SCRIPT.format(folder=folder))
    (folder / "record.sh").chmod(0o755)
    # Snakemake's executor removes SLURM_CONF from the environment of the srun that it calls in a job.
    (folder / "bin").mkdir()
    (folder / "bin" / "srun").write_text(
        f'#!/bin/sh\nSLURM_CONF={folder}/slurm.conf exec {shutil.which("srun")} "$@"\n'
    )
    (folder / "bin" / "srun").chmod(0o755)
    (folder / "munge.key").write_bytes(os.urandom(1024))
    (folder / "munge.key").chmod(0o400)


def _start(folder: Path, environment: dict[str, str], started: list[subprocess.Popen[bytes]]) -> None:
    daemons = [
        ["munged", "--foreground", "--force", f"--key-file={folder}/munge.key", f"--socket={folder}/munge.socket",
         f"--pid-file={folder}/munge.pid", f"--log-file={folder}/munge.log", f"--seed-file={folder}/munge.seed"],
        ["slurmctld", "-D", "-f", f"{folder}/slurm.conf"],
        ["slurmd", "-D", "-f", f"{folder}/slurm.conf"],
    ]  # fmt: skip
    for words in daemons:
        with (folder / f"{words[0]}.output").open("w") as output:
            started.append(
                subprocess.Popen(
                    words,
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    start_new_session=True,
                )
            )
        if words[0] == "munged":
            _until(lambda: (folder / "munge.socket").exists(), "munge")

    def idle() -> bool:
        for words, daemon in zip(daemons, started, strict=True):
            if daemon.poll() is not None:
                output = "".join(
                    path.read_text()[-2000:] for path in sorted(folder.glob(f"{words[0]}.[lo]*")) if path.is_file()
                )
                raise RuntimeError(f"{words[0]} ended with status {daemon.returncode}: {output}")
        query = ["sinfo", "--noheader", "--format=%T"]
        return subprocess.run(query, env=environment, capture_output=True, text=True, check=False).stdout == "idle\n"

    _until(idle, f"the node to be idle; see {folder}/*.log")


@contextlib.contextmanager
def small_slurm(gpus: int = 2, cpus: int = 16, folder: Path = HERE) -> Iterator[Slurm]:
    """Run a Slurm of this machine and take it down at the end, also after an error.

    Args:
        gpus: number of fake GPUs of the node.
        cpus: number of CPUs that the node declares.
        folder: folder of its files; it is emptied first.

    Raises:
        NoSlurmError: no Slurm can run here.
        RuntimeError: Slurm does not start.
    """
    # The lock is held by another test that has a Slurm, even before its daemons are up.
    with folder.with_suffix(".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise NoSlurmError(f"another test has its Slurm in {folder}") from None
        reason = refusal(folder)
        if reason:
            raise NoSlurmError(reason)
        take_down(folder)
        folder.mkdir(mode=0o755)
        path = f"{folder / 'bin'}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
        environment = {**os.environ, "SLURM_CONF": str(folder / "slurm.conf"), "PATH": path}
        started: list[subprocess.Popen[bytes]] = []
        try:
            _write(folder, gpus, cpus)
            _start(folder, environment, started)
            yield Slurm(folder, environment)
        finally:
            take_down(folder)
            for daemon in started:
                daemon.wait(TIMEOUT_S)


def main() -> int:
    """Run a command in a Slurm, and end with its status."""
    try:
        with small_slurm() as slurm:
            return subprocess.run(sys.argv[1:], env=slurm.environment, check=False).returncode
    except NoSlurmError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    raise SystemExit(main())
