"""On a real Slurm: the whole road, shards as array jobs, and no GPU that two jobs share."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

import pytest
from helpers.small_slurm import HERE, NoSlurmError, Slurm, ours, refusal, small_slurm
from helpers.workflow_sandbox import ROOT, link_clone

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.skipif(bool(refusal(HERE)), reason=refusal(HERE) or "-"),
]
LEASING = [
    "extract_features", "finetune_scst", "generate_captions", "pretrain_encoder", "propose_events", "train_captioner",
]  # fmt: skip
PLUGIN = "snakemake_executor_plugin_slurm"


@pytest.fixture(scope="module")
def slurm() -> Iterator[Slurm]:
    """A Slurm of one node with two fake GPUs."""
    try:
        with small_slurm(gpus=2) as running:
            yield running
    except NoSlurmError as error:
        pytest.skip(str(error))


def submit(slurm: Slurm, folder: Path, *words: str) -> "subprocess.Popen[str]":
    """A job that asks for one GPU; ends when the job has."""
    asked = ["sbatch", "--wait", "--parsable", "--gpus=1", "--ntasks=1", "--mem=100", f"--chdir={folder}"]
    return subprocess.Popen([*asked, *words], env=slurm.environment, stdout=subprocess.PIPE, text=True)


def test_what_a_killed_run_left_is_taken_down_and_so_is_what_a_failed_one_started(tmp_path: Path) -> None:
    script = Path(__file__).with_name("small_slurm.py")
    killed = subprocess.run([sys.executable, str(script), "sh", "-c", "kill -9 $PPID"], check=False)
    if killed.returncode == 2:
        pytest.skip("another test has a Slurm here just now")
    left = ours(HERE)
    assert len(left) == 3
    with pytest.raises(ZeroDivisionError), small_slurm() as slurm:
        assert not set(left) & set(ours(slurm.folder))
        assert len(ours(slurm.folder)) == 3
        _ = 1 // 0
    assert not ours(HERE)
    assert not HERE.exists()


def test_a_slurm_of_somebody_else_is_not_touched(slurm: Slurm, tmp_path: Path) -> None:
    with pytest.raises(NoSlurmError, match="another Slurm runs here"), small_slurm(folder=tmp_path / "second"):
        pass
    with pytest.raises(NoSlurmError, match="another test has its Slurm"), small_slurm():
        pass
    assert len(ours(slurm.folder)) == 3


def test_two_jobs_at_once_see_two_gpus_and_the_lease_keeps_to_them(slurm: Slurm, tmp_path: Path) -> None:
    # Each job waits for the other before it ends: they do run at the same time.
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


@pytest.fixture(scope="module")
def road(slurm: Slurm, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A folder in which the whole road was run, each job by Slurm, and what snakemake said."""
    if not find_spec(PLUGIN):
        pytest.skip("snakemake's executor for Slurm is not installed: pip install 'sa-tsp[slurm]'")
    folder = link_clone(tmp_path_factory.mktemp("cluster"))
    (folder / "tiny.yaml").write_text((ROOT / "tests" / "workflow" / "tiny.yaml").read_text())
    done = subprocess.run(
        [
            sys.executable, str(Path(__file__).with_name("impatient.py")), "--profile", "workflow/profiles/slurm",
            "--default-resources", "slurm_partition=main", "--slurm-no-account", "--slurm-status-command", "squeue",
            "--configfile", "tiny.yaml", "--", "results/demo_test_meteor.json",
        ],
        cwd=folder, env=slurm.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
        timeout=1500,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-10000:]
    return folder, done.stdout


def test_the_whole_road_ends_in_its_score(road: tuple[Path, str]) -> None:
    scores = json.loads((road[0] / "results" / "demo_test_meteor.json").read_text())
    assert 0 <= scores["METEOR"]["gt"]["mean"] <= 1


def test_shards_are_array_jobs(road: tuple[Path, str]) -> None:
    assert len(re.findall(r"Submitted array job with Snakemake IDs \d+,\d+ ", road[1])) >= 2


def test_no_gpu_is_ever_shared(road: tuple[Path, str], slurm: Slurm) -> None:
    held: dict[str, list[tuple[float, float]]] = {}  # GPU -> from, until
    begun: dict[int, tuple[float, list[str]]] = {}
    assigned: dict[int, list[str]] = {}
    for at, what, job, gpus in slurm.told():
        if what == "prolog_slurmd":
            begun[job], assigned[job] = (at, gpus), gpus
        else:
            since, gpus = begun.pop(job)
            for gpu in gpus:
                held.setdefault(gpu, []).append((since, at))
    assert held.keys() == {"0", "1"}
    for times in held.values():
        assert all(first[1] <= second[0] for first, second in pairwise(sorted(times)))
    # What stages say in their logs that they computed on is what Slurm gave to their jobs.
    computed = 0
    for rule in LEASING:
        for log in (road[0] / "results" / "demo" / "logs" / rule).glob("*.log"):
            if log.name == "gt.log":
                continue  # annotated events are looked up, not computed
            [(gpus, job)] = re.findall(r"^GPUs (\S+) of Slurm job (\d+)$", log.read_text(), flags=re.MULTILINE)
            assert assigned[int(job)] == gpus.split(","), log
            computed += 1
    assert computed >= 15
    print(f"{computed} jobs on {len(held)} GPUs, none shared")
