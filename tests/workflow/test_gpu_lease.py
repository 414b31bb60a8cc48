"""GPU leases: no two jobs share a device, no job waits for a free device, and a lease ends with its job."""

import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from workflow.scripts.gpu_lease import acquire, distributed_command, main, visible_devices

ROOT = Path(__file__).resolve().parents[2]
SHOW = [sys.executable, "-c", "import os; print(os.environ.get('CUDA_VISIBLE_DEVICES'))"]


def lease(table: Path, gpus: int, command: list[str], devices: str | None = "0,1") -> subprocess.Popen[str]:
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": devices} if devices is not None else dict(os.environ)
    words = [
        sys.executable,
        "-m",
        "workflow.scripts.gpu_lease",
        "--gpus",
        str(gpus),
        "--table",
        str(table),
        "--",
    ]
    return subprocess.Popen(
        [*words, *command], cwd=ROOT, env=environment, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )  # fmt: skip


HOLD = [sys.executable, "-c", "import os; print(os.environ['CUDA_VISIBLE_DEVICES'], flush=True); input()"]


def test_two_jobs_get_different_devices_and_a_third_waits_for_one(tmp_path: Path) -> None:
    first, second = lease(tmp_path, 1, HOLD), lease(tmp_path, 1, HOLD)
    assert first.stdout
    assert second.stdout
    assert {first.stdout.readline().strip(), second.stdout.readline().strip()} == {"0", "1"}
    third = lease(tmp_path, 1, SHOW)
    assert third.stderr
    assert "waiting for 1 of the GPUs 0, 1" in third.stderr.readline()
    first.communicate("\n", timeout=30)
    output, _ = third.communicate(timeout=30)
    assert output.strip() in {"0", "1"}
    second.communicate("\n", timeout=30)


def test_a_killed_job_frees_its_devices_at_once(tmp_path: Path) -> None:
    job = lease(tmp_path, 2, HOLD)
    assert job.stdout
    assert job.stdout.readline().strip() == "0,1"
    os.kill(job.pid, signal.SIGKILL)
    job.communicate(timeout=30)
    assert lease(tmp_path, 2, SHOW).communicate(timeout=30)[0].strip() == "0,1"


def test_a_lease_lasts_as_long_as_any_process_of_its_job(tmp_path: Path) -> None:
    child = "import os, sys\nif os.fork():\n    print('forked', flush=True); os._exit(0)\nsys.stdin.readline()"
    job = lease(tmp_path, 2, [sys.executable, "-c", child])
    assert job.stdout
    assert job.stdout.readline().strip() == "forked"
    waiting = lease(tmp_path, 1, SHOW)
    assert waiting.stderr
    assert "waiting" in waiting.stderr.readline()
    job.communicate("\n", timeout=30)  # the job's own process has gone long ago; now its child goes too
    assert waiting.communicate(timeout=30)[0].strip() == "0"


def test_all_or_nothing(tmp_path: Path) -> None:
    _, descriptors = acquire(["0", "1"], 1, tmp_path)
    both = lease(tmp_path, 2, SHOW)
    assert both.stderr
    assert "waiting for 2" in both.stderr.readline()
    job = lease(tmp_path, 1, SHOW)
    assert job.communicate(timeout=30)[0].strip() == "1"  # the waiting job holds nothing
    os.close(descriptors[0])
    assert both.communicate(timeout=30)[0].strip() == "0,1"


def test_only_visible_devices_are_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,GPU-ab/1")
    assert visible_devices() == ["3", "GPU-ab/1"]
    devices, descriptors = acquire(visible_devices(), 2, tmp_path)
    assert devices == ["3", "GPU-ab/1"]
    for descriptor in descriptors:
        os.close(descriptor)


def test_more_gpus_than_available_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    assert main(["--gpus", "2", "--table", str(tmp_path), "--", "true"]) == 2
    assert "2 GPUs requested, 1 available" in capsys.readouterr().err


def test_without_gpus_the_command_just_runs_and_its_status_is_kept(tmp_path: Path) -> None:
    job = lease(tmp_path, 1, [sys.executable, "-c", "raise SystemExit(7)"], devices="")
    job.communicate(timeout=30)
    assert job.returncode == 7


def test_a_command_that_needs_no_gpu_sees_none(tmp_path: Path) -> None:
    assert lease(tmp_path, 0, SHOW).communicate(timeout=30)[0] == "\n"


@pytest.mark.parametrize(
    ("value", "devices"),
    [
        ("NoDevFiles", []),
        ("-1", []),
        ("2,-1,3", ["2"]),
        ("", []),
        ("4, 6", ["4", "6"]),
        ("MIG-1,GPU-2", ["MIG-1", "GPU-2"]),
    ],
)
def test_a_name_that_is_no_device_hides_those_after_it(
    value: str, devices: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", value)
    assert visible_devices() == devices


def test_processes_do_not_share_a_device(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    assert main(["--gpus", "1", "--processes", "2", "--table", str(tmp_path), "--", "python", "-m", "this"]) == 2
    assert "2 GPUs requested, 1 available" in capsys.readouterr().err


@pytest.mark.parametrize("assigned", ["SLURM_JOB_GPUS", "SLURM_STEP_GPUS", "GPU_DEVICE_ORDINAL"])
def test_slurm_jobs_lease_their_devices_separately(
    assigned: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A cluster that shows each job its own devices alone calls them 0 in both.
    monkeypatch.setenv(assigned, "0")
    monkeypatch.setenv("SLURM_JOB_ID", "17")
    first = lease(tmp_path, 1, HOLD, devices="0")
    assert first.stdout
    assert first.stdout.readline().strip() == "0"
    monkeypatch.setenv("SLURM_JOB_ID", "18")
    output, errors = lease(tmp_path, 1, SHOW, devices="0").communicate(timeout=30)
    assert (output, errors) == ("0\n", "GPUs 0 of Slurm job 18\n")
    monkeypatch.setenv("SLURM_JOB_ID", "17")
    second = lease(tmp_path, 1, SHOW, devices="0")
    assert second.stderr
    assert "waiting" in second.stderr.readline(), "jobs in one allocation share its devices"
    first.communicate("\n", timeout=30)
    assert second.communicate(timeout=30)[0] == "0\n"


def test_slurm_that_assigns_no_gpus_leaves_them_to_the_lease(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = []
    for job in ("17", "18"):
        monkeypatch.setenv("SLURM_JOB_ID", job)
        jobs.append(lease(tmp_path, 1, HOLD))
    assert {job.stdout.readline().strip() for job in jobs if job.stdout} == {"0", "1"}
    for each in jobs:
        each.communicate("\n", timeout=30)


STARTER = """
import os, signal, sys
from workflow.scripts.gpu_lease import main
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # nohup ignores it
shell = 'echo holds $$ $CUDA_VISIBLE_DEVICES; exec sleep 3600'
for line in sys.stdin:
    ready, go = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(go)
        os.read(ready, 1)  # the start is reported before the lease
        try:
            main(['--gpus', line.strip(), '--table', sys.argv[1], '--', 'sh', '-c', shell])
        finally:
            os._exit(1)
    os.write(1, f'started {pid}\\n'.encode())
    os.close(ready)
    os.close(go)
while True:
    try:
        os.wait()
    except ChildProcessError:
        break
"""


def test_200_rounds_of_starts_and_kills_share_no_device_and_leak_none(tmp_path: Path) -> None:
    devices = ["0", "1", "2", "3"]
    chance = random.Random(7)
    starter = subprocess.Popen(
        [sys.executable, "-c", STARTER, str(tmp_path)], cwd=ROOT, text=True, stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=os.environ | {"CUDA_VISIBLE_DEVICES": "0,1,2,3"},
    )  # fmt: skip
    assert starter.stdin
    assert starter.stdout
    requests: dict[int, int] = {}  # running or waiting jobs -> number of devices
    leased: dict[int, list[str]] = {}
    leases = 0

    def read_line() -> int | None:
        """Read one line; return the job that was started, if the line reports a start."""
        nonlocal leases
        assert starter.stdout
        what, pid, *names = starter.stdout.readline().split()
        if what == "holds" and int(pid) in requests:
            leased[int(pid)] = names[0].split(",")
            leases += 1
            everything = [name for job in leased.values() for name in job]
            assert len(set(everything)) == len(everything), leased
            assert len(leased[int(pid)]) == requests[int(pid)]
            return None
        return int(pid) if what == "started" else None

    def kill(job: int) -> None:
        os.kill(job, chance.choice([signal.SIGKILL, signal.SIGTERM, signal.SIGHUP]))
        del requests[job]
        leased.pop(job, None)

    for _ in range(200):
        count = chance.choice([1, 1, 2, 3, 4])
        starter.stdin.write(f"{count}\n")
        starter.stdin.flush()
        while (job := read_line()) is None:
            pass
        requests[job] = count
        if chance.random() < 0.2:
            kill(job)  # while it acquires its devices, or before
        while sum(requests.values()) > len(devices) and chance.random() < 0.8:
            kill(chance.choice(list(requests)))
        while leased.keys() != requests.keys() and sum(requests.values()) <= len(devices):
            read_line()
    for job in list(requests):
        kill(job)
    starter.communicate(timeout=60)
    assert leases > 50
    assert acquire(devices, 4, tmp_path)[0] == devices


def test_a_missing_command_is_an_error(tmp_path: Path) -> None:
    job = lease(tmp_path, 1, ["no-such-command"])
    assert "error: no-such-command: No such file" in job.communicate(timeout=30)[1]
    assert job.returncode == 127


def test_distributed_command_uses_torchrun_for_several_processes() -> None:
    command = ["python", "-m", "pipeline.pretrain_encoder", "--name", "sa_tsp"]
    assert distributed_command(command, 1) == command
    torchrun = ["python", "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=8"]
    assert distributed_command(command, 8) == [*torchrun, *command[1:]]
