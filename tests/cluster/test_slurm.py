"""On a real Slurm: the full pipeline, shards as array jobs, and no GPU that two jobs share."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

import pytest
from helpers import fast_snakemake
from helpers import small_slurm as slurm_module
from helpers.small_slurm import HERE, JobEvent, NoSlurmError, Slurm, refusal, slurm_processes, small_slurm
from helpers.workflow_sandbox import ROOT, link_clone

from pipeline.monitor.schedule import Capacity, simulate
from pipeline.planning.cost import plan_jobs
from pipeline.provenance.jobs import dry_run

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.campaign,
    pytest.mark.skipif(bool(refusal(HERE)), reason=refusal(HERE) or "-"),
]
LEASING = [
    "extract_features", "finetune_scst", "generate_captions", "pretrain_encoder", "propose_events", "train_captioner",
    "localize_actions", "train_localizer", "train_proposer",
]  # fmt: skip
PLUGIN = "snakemake_executor_plugin_slurm"
OVERLAY = "tiny.yaml"
TARGET = "results/demo_test_meteor.json"
NODE = Capacity(cores=16, gpus=2)
"""What the node declares."""


@pytest.fixture(scope="module")
def slurm() -> Iterator[Slurm]:
    """A Slurm of one node with two fake GPUs."""
    try:
        with small_slurm(gpus=NODE.gpus or 0, cpus=NODE.cores) as running:
            yield running
    except NoSlurmError as error:
        pytest.skip(str(error))


def submit(slurm: Slurm, folder: Path, *words: str) -> "subprocess.Popen[str]":
    """Submit a job with one GPU; the process ends with the job."""
    command = ["sbatch", "--wait", "--parsable", "--gpus=1", "--ntasks=1", "--mem=100", f"--chdir={folder}"]
    return subprocess.Popen([*command, *words], env=slurm.environment, stdout=subprocess.PIPE, text=True)


def test_small_slurm_takes_down_the_remains_of_killed_and_failed_runs(tmp_path: Path) -> None:
    script = slurm_module.__file__
    process = subprocess.run([sys.executable, script, "sh", "-c", "kill -9 $PPID"], check=False)
    if process.returncode == 2:
        pytest.skip("another test runs a Slurm")
    remains = slurm_processes(HERE)
    assert len(remains) == 3
    with pytest.raises(ZeroDivisionError), small_slurm() as slurm:
        assert not set(remains) & set(slurm_processes(slurm.folder))
        assert len(slurm_processes(slurm.folder)) == 3
        _ = 1 // 0
    assert not slurm_processes(HERE)
    assert not HERE.exists()


def test_small_slurm_does_not_touch_another_slurm(slurm: Slurm, tmp_path: Path) -> None:
    with pytest.raises(NoSlurmError, match="another Slurm runs here"), small_slurm(folder=tmp_path / "second"):
        pass
    with pytest.raises(NoSlurmError, match="another test has its Slurm"), small_slurm():
        pass
    assert len(slurm_processes(slurm.folder)) == 3


def test_two_jobs_at_once_lease_two_different_gpus(slurm: Slurm, tmp_path: Path) -> None:
    # Each job waits for the other before it ends, so they run at the same time.
    shell = """#!/bin/sh
        {python} -m workflow.scripts.gpu_lease --gpus 1 -- sh -c 'echo $CUDA_VISIBLE_DEVICES' > $1.txt 2> $1.err
        if [ $1 = a ]; then echo > a; read line < b; else read line < a; echo > b; fi
    """
    (tmp_path / "job.sh").write_text(shell.replace("{python}", sys.executable))
    for name in ("a", "b"):
        os.mkfifo(tmp_path / name)
    jobs = [submit(slurm, tmp_path, f"--export=ALL,PYTHONPATH={ROOT}", "job.sh", name) for name in ("a", "b")]
    numbers = [job.communicate(timeout=120)[0].strip() for job in jobs]
    assert [job.returncode for job in jobs] == [0, 0]
    assert {(tmp_path / f"{name}.txt").read_text() for name in ("a", "b")} == {"0\n", "1\n"}
    for name, number in zip(("a", "b"), numbers, strict=True):
        assert (tmp_path / f"{name}.err").read_text().endswith(f" of Slurm job {number}\n")


@dataclass(frozen=True)
class ClusterRun:
    """An end-to-end run on Slurm.

    Attributes:
        folder: where it ran.
        output: output of snakemake.
        events: starts and ends of its jobs, see `Slurm.job_events`.
    """

    folder: Path
    output: str
    events: list[JobEvent]


@pytest.fixture(scope="module")
def cluster_run(slurm: Slurm, tmp_path_factory: pytest.TempPathFactory) -> ClusterRun:
    if not find_spec(PLUGIN):
        pytest.skip("snakemake's executor for Slurm is not installed: pip install 'sa-tsp[slurm]'")
    folder = link_clone(tmp_path_factory.mktemp("cluster"))
    (folder / OVERLAY).write_text((ROOT / "tests" / "workflow" / OVERLAY).read_text())
    earlier = len(slurm.job_events())
    process = subprocess.run(
        [
            sys.executable, fast_snakemake.__file__, "--profile", "workflow/profiles/slurm",
            "--default-resources", "slurm_partition=main", "--slurm-no-account", "--slurm-status-command", "squeue",
            "--configfile", OVERLAY, "--", TARGET,
        ],
        cwd=folder, env=slurm.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
        timeout=1500,
    )  # fmt: skip
    assert process.returncode == 0, process.stdout[-10000:]
    return ClusterRun(folder, process.stdout, slurm.job_events()[earlier:])


def test_an_end_to_end_run_on_slurm_ends_in_scores(cluster_run: ClusterRun) -> None:
    scores = json.loads((cluster_run.folder / TARGET).read_text())
    assert 0 <= scores["METEOR"]["gt"]["mean"] <= 1


def test_shards_are_array_jobs(cluster_run: ClusterRun) -> None:
    assert len(re.findall(r"Submitted array job with Snakemake IDs \d+,\d+ ", cluster_run.output)) >= 2


def test_no_gpu_is_shared_by_two_jobs(cluster_run: ClusterRun) -> None:
    leases: dict[str, list[tuple[float, float]]] = {}  # GPU -> start, end
    running_jobs: dict[int, tuple[float, list[str]]] = {}
    assigned: dict[int, list[str]] = {}
    for at, what, job, gpus in cluster_run.events:
        if what == "prolog_slurmd":
            running_jobs[job], assigned[job] = (at, gpus), gpus
        else:
            since, gpus = running_jobs.pop(job)
            for gpu in gpus:
                leases.setdefault(gpu, []).append((since, at))
    assert leases.keys() == {"0", "1"}
    for times in leases.values():
        assert all(first[1] <= second[0] for first, second in pairwise(sorted(times)))
    # The GPUs in the logs of the stages are those that Slurm assigned to their jobs.
    computed = 0
    for rule in LEASING:
        for log in (cluster_run.folder / "results" / "demo" / "logs" / rule).glob("*.log"):
            if log.name == "gt.log":
                continue  # annotated events need no GPU
            [(gpus, job)] = re.findall(r"^GPUs (\S+) of Slurm job (\d+)$", log.read_text(), flags=re.MULTILINE)
            assert assigned[int(job)] == gpus.split(","), log
            computed += 1
    assert computed >= 15
    print(f"{computed} jobs on {len(leases)} GPUs, none shared")


def test_the_simulation_agrees_with_the_run_on_slurm_within_a_quarter(cluster_run: ClusterRun, tmp_path: Path) -> None:
    """The simulation knows what each job took by itself, and what Slurm and snakemake add to a job on average."""
    jobs = dry_run([TARGET], [cluster_run.folder / OVERLAY], folder=link_clone(tmp_path), cores=NODE.cores)
    seconds = {
        index: read_seconds(cluster_run.folder / job.benchmark) for index, job in enumerate(jobs) if job.benchmark
    }
    times = [time for time, *_ in cluster_run.events]
    clock = max(times) - min(times)
    occupied = sum(time if what == "epilog_slurmd" else -time for time, what, *_ in cluster_run.events)
    added = (occupied - sum(seconds.values())) / len(seconds)
    assert added > 0
    all_seconds = {index: seconds[index] + added if index in seconds else 0.0 for index in range(len(jobs))}
    estimated = simulate(plan_jobs(jobs), all_seconds, [], NODE)
    print(f"{len(seconds)} jobs, {added:.1f} s added to each: {estimated:.0f} s, in fact {clock:.0f} s")
    assert estimated == pytest.approx(clock, rel=0.25)


def read_seconds(benchmark: Path) -> float:
    """Return the time of a job by its file of snakemake [s]."""
    return float(json.loads(benchmark.read_text().splitlines()[-1])["s"])
