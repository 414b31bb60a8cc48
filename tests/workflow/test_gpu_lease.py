"""No two jobs share a device; nobody waits for what is free; a lease ends with its job."""

import os
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


def test_a_command_that_does_not_exist_is_told(tmp_path: Path) -> None:
    job = lease(tmp_path, 1, ["no-such-command"])
    assert "error: no-such-command: No such file" in job.communicate(timeout=30)[1]
    assert job.returncode == 127


def test_several_processes_are_started_by_torchrun_and_one_is_not() -> None:
    command = ["python", "-m", "pipeline.pretrain_encoder", "--name", "sa_tsp"]
    assert shared(command, 1) == command
    torchrun = ["python", "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=8"]
    assert shared(command, 8) == [*torchrun, *command[1:]]
