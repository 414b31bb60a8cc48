"""No two jobs share a device; nobody waits for what is free; a lease ends with its job."""

import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from workflow.scripts.gpu_lease import acquire, main, shared, visible

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
    said, _ = third.communicate(timeout=30)
    assert said.strip() in {"0", "1"}
    second.communicate("\n", timeout=30)


def test_a_killed_job_frees_its_lease_at_once(tmp_path: Path) -> None:
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
    _, held = acquire(["0", "1"], 1, tmp_path)
    both = lease(tmp_path, 2, SHOW)
    assert both.stderr
    assert "waiting for 2" in both.stderr.readline()
    one = lease(tmp_path, 1, SHOW)
    assert one.communicate(timeout=30)[0].strip() == "1"  # the waiting job holds nothing
    os.close(held[0])
    assert both.communicate(timeout=30)[0].strip() == "0,1"


def test_only_devices_that_were_given_are_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,GPU-ab/1")
    assert visible() == ["3", "GPU-ab/1"]
    chosen, held = acquire(visible(), 2, tmp_path)
    assert chosen == ["3", "GPU-ab/1"]
    for descriptor in held:
        os.close(descriptor)


def test_more_than_there_are_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    assert main(["--gpus", "2", "--table", str(tmp_path), "--", "true"]) == 2
    assert "2 GPUs are asked for, there are 1" in capsys.readouterr().err


def test_without_gpus_the_command_just_runs_and_its_status_is_kept(tmp_path: Path) -> None:
    job = lease(tmp_path, 1, [sys.executable, "-c", "raise SystemExit(7)"], devices="")
    job.communicate(timeout=30)
    assert job.returncode == 7


def test_a_command_that_needs_no_gpu_sees_none(tmp_path: Path) -> None:
    assert lease(tmp_path, 0, SHOW).communicate(timeout=30)[0] == "\n"


@pytest.mark.parametrize(
    ("given", "devices"),
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
    given: str, devices: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", given)
    assert visible() == devices


def test_processes_do_not_share_a_device(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    assert main(["--gpus", "1", "--processes", "2", "--table", str(tmp_path), "--", "python", "-m", "this"]) == 2
    assert "2 GPUs are asked for, there are 1" in capsys.readouterr().err


def test_jobs_of_slurm_have_their_own_devices_though_names_are_alike(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A cluster that shows each job its own devices alone calls them 0 in both.
    monkeypatch.setenv("SLURM_JOB_GPUS", "3")
    monkeypatch.setenv("SLURM_JOB_ID", "17")
    first = lease(tmp_path, 1, HOLD, devices="0")
    assert first.stdout
    assert first.stdout.readline().strip() == "0"
    monkeypatch.setenv("SLURM_JOB_ID", "18")
    said, told = lease(tmp_path, 1, SHOW, devices="0").communicate(timeout=30)
    assert (said, told) == ("0\n", "GPUs 0 of Slurm job 18\n")
    monkeypatch.setenv("SLURM_JOB_ID", "17")
    second = lease(tmp_path, 1, SHOW, devices="0")
    assert second.stderr
    assert "waiting" in second.stderr.readline(), "within one allocation, jobs share what it has"
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
import os, sys
from workflow.scripts.gpu_lease import main
shell = 'echo holds $$ $CUDA_VISIBLE_DEVICES; exec sleep 60'
for line in sys.stdin:
    pid = os.fork()
    if pid == 0:
        try:
            main(['--gpus', line.strip(), '--table', sys.argv[1], '--', 'sh', '-c', shell])
        finally:
            os._exit(1)
    os.write(1, f'started {pid}\\n'.encode())
while True:
    try:
        os.wait()
    except ChildProcessError:
        break
"""


def test_200_rounds_of_kills_and_starts_neither_clash_nor_leak(tmp_path: Path) -> None:
    devices = ["0", "1", "2", "3"]
    chance = random.Random(7)
    starter = subprocess.Popen(
        [sys.executable, "-c", STARTER, str(tmp_path)], cwd=ROOT, text=True, stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=os.environ | {"CUDA_VISIBLE_DEVICES": "0,1,2,3"},
    )  # fmt: skip
    assert starter.stdin
    assert starter.stdout
    asked: dict[int, int] = {}  # jobs that run or wait, and how many devices they are to get
    held: dict[int, list[str]] = {}
    leases = 0

    def hear() -> int | None:
        """Take in one line: the job that was started, if it is about one."""
        assert starter.stdout
        what, pid, *names = starter.stdout.readline().split()
        if what == "holds" and int(pid) in asked:
            held[int(pid)] = names[0].split(",")
            everything = [name for job in held.values() for name in job]
            assert len(set(everything)) == len(everything), held
            assert len(held[int(pid)]) == asked[int(pid)]
            return None
        return int(pid) if what == "started" else None

    def kill(job: int) -> None:
        os.kill(job, chance.choice([signal.SIGKILL, signal.SIGTERM, signal.SIGHUP]))
        del asked[job]
        held.pop(job, None)

    for _ in range(200):
        count = chance.choice([1, 1, 2, 3, 4])
        starter.stdin.write(f"{count}\n")
        starter.stdin.flush()
        while (job := hear()) is None:
            pass
        asked[job] = count
        if chance.random() < 0.2:
            kill(job)  # while it takes its devices, or before
        while sum(asked.values()) > len(devices) and chance.random() < 0.8:
            kill(chance.choice(list(asked)))
        while held.keys() != asked.keys() and sum(asked.values()) <= len(devices):
            before = len(held)
            hear()
            leases += len(held) > before
    for job in list(asked):
        kill(job)
    starter.communicate(timeout=60)
    assert leases > 50
    assert acquire(devices, 4, tmp_path)[0] == devices


def test_a_command_that_does_not_exist_is_told(tmp_path: Path) -> None:
    job = lease(tmp_path, 1, ["no-such-command"])
    assert "error: no-such-command: No such file" in job.communicate(timeout=30)[1]
    assert job.returncode == 127


def test_several_processes_are_started_by_torchrun_and_one_is_not() -> None:
    command = ["python", "-m", "pipeline.pretrain_encoder", "--name", "sa_tsp"]
    assert shared(command, 1) == command
    torchrun = ["python", "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=8"]
    assert shared(command, 8) == [*torchrun, *command[1:]]
