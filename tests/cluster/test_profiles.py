"""What rules ask of a cluster, what profiles say, and what becomes of wrong ones."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml
from helpers.workflow_sandbox import ROOT, link_clone, snakemake

PROFILES = ROOT / "workflow" / "profiles"
RULES = {
    name: text
    for path in (ROOT / "workflow" / "rules").glob("*.smk")
    for name, text in re.findall(r"^rule (\w+):\n((?:(?:    .*)?\n)*)", path.read_text(), flags=re.MULTILINE)
}


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """Links to everything but results."""
    return link_clone(tmp_path)


def test_every_rule_asks_for_memory_and_time_and_more_of_both_at_every_attempt(clone: Path) -> None:
    assert len(RULES) >= 17
    for name, text in RULES.items():
        assert re.search(r"^        mem_mb=growing\(\d+\),\n        runtime=growing\(\d+\),$", text, re.MULTILINE), name
    asked = []
    for attempt in ("1", "3"):
        said = snakemake(clone, "-n", "--cores", "1", "--attempt", attempt, "results/demo/corpus/manifest.json").stdout
        [told] = re.findall(r"^rule build_corpus:(?:\n .*)*\n    resources: (.*)", said, re.MULTILINE)
        asked.append([int(amount) for amount in re.findall(r"\b(?:mem_mb|runtime)=(\d+)", told)])
    assert len(asked[0]) == 2
    assert [3 * amount for amount in asked[0]] == asked[1]


def test_every_rule_that_asks_for_gpus_leases_them_and_processes_are_started_by_torchrun() -> None:
    asking = {name for name, text in RULES.items() if "        gpu=gpus(" in text}
    leasing = {name for name, text in RULES.items() if "workflow.scripts.gpu_lease --gpus {resources.gpu} --" in text}
    assert asking == leasing
    assert {name for name in leasing if "--processes {params.processes} --" in RULES[name]} == {"pretrain_encoder"}


def test_without_gpus_rules_run_on_the_cpu_where_the_config_lets_them(clone: Path) -> None:
    words = ("-n", "--cores", "1", "results/demo/captioners/sa_tsp/1/xe/manifest.json")
    done = snakemake(clone, *words, "--resources", "gpu=0")
    assert done.returncode == 0, done.stdout
    assert "gpu=0" in done.stdout
    assert "gpu=1" not in done.stdout
    assert "gpu=1" in snakemake(clone, *words).stdout
    (clone / "cpu.yaml").write_text("train_captioner: {sa_tsp: {device: cpu}}")
    said = snakemake(clone, *words, "--configfile", "cpu.yaml").stdout
    assert re.search(r"^rule train_captioner:(?:\n .*)*\n    resources: .*\bgpu=0\b", said, re.MULTILINE)
    (clone / "cuda.yaml").write_text("train_captioner: {sa_tsp: {device: cuda}}")
    done = snakemake(clone, *words, "--configfile", "cuda.yaml", "--resources", "gpu=0")
    assert done.returncode == 1
    told = done.stdout.splitlines()[-1]
    assert "config: train_captioner.sa_tsp.device = cuda, but --resources gpu=0 gives no GPU" in told
    assert "train_captioner.sa_tsp.device = auto" in told


def test_fewer_gpus_than_processes_are_told_before_any_job(clone: Path) -> None:
    (clone / "two.yaml").write_text("pretrain_encoder: {sa_tsp: {replicas: 2, processes: 2}}")
    words = ("-n", "--cores", "8", "results/demo/encoders/sa_tsp/manifest.json", "--configfile", "two.yaml")
    done = snakemake(clone, *words, "--resources", "gpu=1")
    assert done.returncode == 1
    told = done.stdout.splitlines()[-1]
    assert "config: pretrain_encoder.sa_tsp.processes = 2 take a GPU each, but --resources gpu=1: give more" in told
    assert "gpu=2" in snakemake(clone, *words, "--resources", "gpu=2").stdout


def test_an_unknown_key_of_a_profile_is_told_in_the_last_line(clone: Path) -> None:
    (clone / "mine").mkdir()
    (clone / "mine" / "profile.yaml").write_text("cores: 1\nretrys: 2\n")
    done = snakemake(clone, "--profile", "mine", "-n")
    assert done.returncode == 2
    assert done.stdout.splitlines()[-1].endswith("error: unrecognized arguments: --retrys=2")


@pytest.mark.parametrize("key", ["set-resources: {reencod: {mem_mb: 1}}", "set-threads: {reencod: 1}"])
def test_a_profile_that_sets_something_for_no_rule_is_told(clone: Path, key: str) -> None:
    (clone / "mine").mkdir()
    (clone / "mine" / "profile.yaml").write_text(f"cores: 1\n{key}\n")
    done = snakemake(clone, "--profile", "mine", "-n", "results/demo/corpus/manifest.json")
    assert done.returncode == 1
    told = done.stdout.splitlines()[-1]
    assert told.startswith("error: set-resources or set-threads, in a profile")
    assert told.endswith("there is no rule 'reencod'")


@pytest.mark.parametrize("name", ["default", "kubernetes", "slurm"])
def test_profiles_are_known_to_snakemake(name: str, clone: Path) -> None:
    if name == "slurm" and not find_spec("snakemake_executor_plugin_slurm"):
        pytest.skip("snakemake's executor for Slurm is not installed: pip install 'sa-tsp[slurm]'")
    done = snakemake(clone, "--profile", f"workflow/profiles/{name}", "-n", "results/demo/corpus/manifest.json")
    assert done.returncode == 0, done.stdout


def test_shards_are_what_slurm_gets_as_arrays() -> None:
    profile = yaml.safe_load((PROFILES / "slurm" / "profile.yaml").read_text())
    sharded = {name for name, text in RULES.items() if re.search(r"^ +manifest=.*\{shard\}", text, re.MULTILINE)}
    assert set(profile["slurm-array-jobs"].split(",")) == sharded


def test_the_pod_asks_for_what_its_profile_uses() -> None:
    job = yaml.safe_load((PROFILES / "kubernetes" / "job.yaml").read_text())
    profile = yaml.safe_load((PROFILES / "kubernetes" / "profile.yaml").read_text())
    [container] = job["spec"]["template"]["spec"]["containers"]
    assert container["resources"]["requests"]["cpu"] == profile["cores"]
    assert container["resources"]["limits"]["nvidia.com/gpu"] == profile["resources"]["gpu"]
    assert "--profile workflow/profiles/kubernetes" in container["args"][0]
    mounted = {volume["name"] for volume in container["volumeMounts"]}
    assert mounted == {volume["name"] for volume in job["spec"]["template"]["spec"]["volumes"]}
    assert f"WORKDIR {container['workingDir']}\n" in (ROOT / "Dockerfile").read_text()


def failing(clone: Path) -> list[str]:
    """A command that fails in its first job, quickly: annotations that are none."""
    (clone / "data").mkdir()
    (clone / "none.json").write_text("{}")
    files = {"actions": ["none.json"], "captions_train": "none.json", "captions_val": ["none.json"], "videos": "data"}
    (clone / "mine.yaml").write_text(json.dumps({"build_corpus": files}))
    return ["--cores", "1", "results/anet/corpus/manifest.json", "--configfile", "mine.yaml"]


def test_after_an_error_the_command_to_go_on_is_printed(clone: Path) -> None:
    words = failing(clone)
    done = snakemake(clone, *words)
    assert done.returncode == 1
    assert f"To go on from here: {sys.executable} -m snakemake {' '.join(words)}\n" in done.stdout


def interrupted(clone: Path, words: list[str]) -> tuple[int, str]:
    """Status and words of a snakemake that gets Ctrl-C when it starts its first job."""
    run = subprocess.Popen(
        [sys.executable, "-m", "snakemake", *words], cwd=clone, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, start_new_session=True,
        # A shell that runs a command in the background has it ignore Ctrl-C.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip
    assert run.stdout
    said = ""
    while "jobid:" not in said:
        line = run.stdout.readline()
        assert line, said
        said += line
    os.killpg(run.pid, signal.SIGINT)
    said += run.communicate(timeout=120)[0]
    return run.returncode, said


def test_a_lock_left_behind_is_told_and_what_the_documents_say_clears_it(clone: Path) -> None:
    words = failing(clone)
    run = subprocess.Popen(
        [sys.executable, "-m", "snakemake", *words], cwd=clone, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, start_new_session=True,
    )  # fmt: skip
    assert run.stdout
    while "jobid:" not in (line := run.stdout.readline()):
        assert line, "it ended before its first job"
    os.killpg(run.pid, signal.SIGKILL)  # and its job with it
    run.communicate()
    refused = snakemake(clone, *words)
    assert refused.returncode == 1
    assert "Error: Directory cannot be locked" in refused.stdout
    assert "To go on from here" not in refused.stdout, "the same command would not help"
    page = (ROOT / "docs" / "clusters.md").read_text()
    [clear] = re.findall(r"^    snakemake (--unlock .*)$", page, re.MULTILINE)
    assert snakemake(clone, *clear.split()).returncode == 0
    again = snakemake(clone, *words)
    assert "Directory cannot be locked" not in again.stdout
    assert "error: none.json" in again.stdout, "the job's own error: it ran"


def test_after_an_interruption_the_command_to_go_on_is_printed(clone: Path) -> None:
    few = "make_demo: {train_videos: 2, val_videos: 3, test_videos: 0, broken_videos: 0}\n"
    (clone / "few.yaml").write_text(few)  # snakemake waits for a job that an early Ctrl-C did not reach
    words = ["--cores", "1", "results/demo/source/manifest.json", "--configfile", "few.yaml"]
    status, said = interrupted(clone, words)
    while status == 0:  # snakemake lost the signal, as it may at some instants, and finished
        shutil.rmtree(clone / "results" / "demo")
        status, said = interrupted(clone, words)
    assert f"To go on from here: {sys.executable} -m snakemake {' '.join(words)}\n" in said
