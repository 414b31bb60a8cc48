"""Resources of rules, profiles, and errors of profiles."""

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
from helpers.fork_server import forked_snakemake
from helpers.workflow_sandbox import ROOT, link_clone

from workflow.scripts.rule_files import read_rules

PROFILES = ROOT / "workflow" / "profiles"
RULES = {name: rule.text for name, rule in read_rules().items()}


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A folder with links to everything but results."""
    return link_clone(tmp_path)


def test_memory_and_time_of_every_rule_grow_with_the_attempt(clone: Path) -> None:
    assert len(RULES) >= 17
    for name, text in RULES.items():
        assert re.search(
            r"^        mem_mb=scale_with_attempt\(\d+\),\n        runtime=scale_with_attempt\(\d+\),$",
            text,
            re.MULTILINE,
        ), name
    amounts = []
    for attempt in ("1", "3"):
        words = ("-n", "--cores", "1", "--attempt", attempt, "results/demo/corpus/manifest.json")
        output = forked_snakemake(clone, *words).stdout
        [resources] = re.findall(r"^rule build_corpus:(?:\n .*)*\n    resources: (.*)", output, re.MULTILINE)
        amounts.append([int(amount) for amount in re.findall(r"\b(?:mem_mb|runtime)=(\d+)", resources)])
    assert len(amounts[0]) == 2
    assert [3 * amount for amount in amounts[0]] == amounts[1]


def test_rules_with_gpus_lease_them_and_only_training_from_pixels_uses_torchrun() -> None:
    requesting = {name for name, text in RULES.items() if "        gpu=gpus(" in text}
    leasing = {name for name, text in RULES.items() if "workflow.scripts.gpu_lease --gpus {resources.gpu} --" in text}
    assert requesting == leasing
    distributed = {name for name in leasing if "--processes {params.world_size} --" in RULES[name]}
    assert distributed == {"pretrain_encoder", "train_recognizer"}


def test_without_gpus_rules_run_on_the_cpu_unless_the_device_is_cuda(clone: Path) -> None:
    words = ("-n", "--cores", "1", "results/demo/captioners/sa_tsp/1/xe/manifest.json")
    process = forked_snakemake(clone, *words, "--resources", "gpu=0")
    assert process.returncode == 0, process.stdout
    assert "gpu=0" in process.stdout
    assert "gpu=1" not in process.stdout
    assert "gpu=1" in forked_snakemake(clone, *words).stdout
    (clone / "cpu.yaml").write_text("train_captioner: {sa_tsp: {device: cpu}}")
    output = forked_snakemake(clone, *words, "--configfile", "cpu.yaml").stdout
    assert re.search(r"^rule train_captioner:(?:\n .*)*\n    resources: .*\bgpu=0\b", output, re.MULTILINE)
    (clone / "cuda.yaml").write_text("train_captioner: {sa_tsp: {device: cuda}}")
    process = forked_snakemake(clone, *words, "--configfile", "cuda.yaml", "--resources", "gpu=0")
    assert process.returncode == 1
    error = process.stdout.splitlines()[-1]
    assert "config: train_captioner.sa_tsp.device = cuda, but --resources gpu=0 allows no GPU" in error
    assert "train_captioner.sa_tsp.device = auto" in error


def test_fewer_gpus_than_processes_are_an_error_before_any_job(clone: Path) -> None:
    (clone / "two.yaml").write_text("pretrain_encoder: {sa_tsp: {accumulate_steps: 2, world_size: 2}}")
    words = ("-n", "--cores", "8", "results/demo/encoders/sa_tsp/manifest.json", "--configfile", "two.yaml")
    process = forked_snakemake(clone, *words, "--resources", "gpu=1")
    assert process.returncode == 1
    error = process.stdout.splitlines()[-1]
    assert "config: pretrain_encoder.sa_tsp.world_size = 2 " in error
    assert "--resources gpu=1" in error
    assert "gpu=2" in forked_snakemake(clone, *words, "--resources", "gpu=2").stdout


def test_an_unknown_key_of_a_profile_is_in_the_last_line(clone: Path) -> None:
    (clone / "mine").mkdir()
    (clone / "mine" / "profile.yaml").write_text("cores: 1\nretrys: 2\n")
    process = forked_snakemake(clone, "--profile", "mine", "-n")
    assert process.returncode == 2
    assert process.stdout.splitlines()[-1].endswith("error: unrecognized arguments: --retrys=2")


@pytest.mark.parametrize("key", ["set-resources: {reencod: {mem_mb: 1}}", "set-threads: {reencod: 1}"])
def test_a_profile_that_names_an_unknown_rule_is_an_error(clone: Path, key: str) -> None:
    (clone / "mine").mkdir()
    (clone / "mine" / "profile.yaml").write_text(f"cores: 1\n{key}\n")
    process = forked_snakemake(clone, "--profile", "mine", "-n", "results/demo/corpus/manifest.json")
    assert process.returncode == 1
    error = process.stdout.splitlines()[-1]
    assert error.startswith("error: set-resources or set-threads, in a profile")
    assert error.endswith("there is no rule 'reencod'")


@pytest.mark.parametrize("name", ["default", "kubernetes", "slurm"])
def test_snakemake_accepts_profiles(name: str, clone: Path) -> None:
    if name == "slurm" and not find_spec("snakemake_executor_plugin_slurm"):
        pytest.skip("snakemake's executor for Slurm is not installed: pip install 'sa-tsp[slurm]'")
    process = forked_snakemake(
        clone, "--profile", f"workflow/profiles/{name}", "-n", "results/demo/corpus/manifest.json"
    )
    assert process.returncode == 0, process.stdout


def test_slurm_gets_sharded_rules_as_array_jobs() -> None:
    profile = yaml.safe_load((PROFILES / "slurm" / "profile.yaml").read_text())
    sharded = {name for name, text in RULES.items() if re.search(r"^ +manifest=.*\{shard\}", text, re.MULTILINE)}
    assert set(profile["slurm-array-jobs"].split(",")) == sharded


def test_the_pod_requests_the_resources_of_its_profile() -> None:
    job = yaml.safe_load((PROFILES / "kubernetes" / "job.yaml").read_text())
    profile = yaml.safe_load((PROFILES / "kubernetes" / "profile.yaml").read_text())
    [container] = job["spec"]["template"]["spec"]["containers"]
    assert container["resources"]["requests"]["cpu"] == profile["cores"]
    assert container["resources"]["limits"]["nvidia.com/gpu"] == profile["resources"]["gpu"]
    assert "--profile workflow/profiles/kubernetes" in container["args"][0]
    mounted = {volume["name"] for volume in container["volumeMounts"]}
    assert mounted == {volume["name"] for volume in job["spec"]["template"]["spec"]["volumes"]}
    assert f"WORKDIR {container['workingDir']}\n" in (ROOT / "Dockerfile").read_text()


def write_failing_config(clone: Path) -> list[str]:
    """Write a configuration with invalid annotations; return a command line whose first job fails quickly."""
    (clone / "data").mkdir()
    (clone / "none.json").write_text("{}")
    files = {"actions": ["none.json"], "captions_train": "none.json", "captions_val": ["none.json"], "videos": "data"}
    (clone / "mine.yaml").write_text(json.dumps({"build_corpus": files}))
    return ["--cores", "1", "results/anet/corpus/manifest.json", "--configfile", "mine.yaml"]


def interrupt(clone: Path, words: list[str]) -> tuple[int, str]:
    """Send Ctrl-C to snakemake when it starts its first job; return its status and output."""
    run = subprocess.Popen(
        [sys.executable, "-m", "snakemake", *words], cwd=clone, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, start_new_session=True,
        # A shell that runs a command in the background has it ignore Ctrl-C.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip
    assert run.stdout
    output = ""
    while "jobid:" not in output:
        line = run.stdout.readline()
        assert line, output
        output += line
    os.killpg(run.pid, signal.SIGINT)
    output += run.communicate(timeout=120)[0]
    return run.returncode, output


def test_the_documented_command_clears_a_stale_lock_and_after_an_error_the_command_to_resume_is_printed(
    clone: Path,
) -> None:
    words = write_failing_config(clone)
    run = subprocess.Popen(
        [sys.executable, "-m", "snakemake", *words], cwd=clone, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, start_new_session=True,
    )  # fmt: skip
    assert run.stdout
    while "jobid:" not in (line := run.stdout.readline()):
        assert line, "it ended before its first job"
    os.killpg(run.pid, signal.SIGKILL)  # and its job with it
    run.communicate()
    refused = forked_snakemake(clone, *words)
    assert refused.returncode == 1
    assert "Error: Directory cannot be locked" in refused.stdout
    assert "To resume" not in refused.stdout, "the same command would not help"
    page = (ROOT / "docs" / "clusters.md").read_text()
    [clear] = re.findall(r"^    snakemake (--unlock .*)$", page, re.MULTILINE)
    assert forked_snakemake(clone, *clear.split()).returncode == 0
    again = forked_snakemake(clone, *words)
    assert "Directory cannot be locked" not in again.stdout
    assert "error: none.json" in again.stdout, "the job's own error: it ran"
    assert again.returncode == 1
    assert f"To resume: {sys.executable} -m snakemake {' '.join(words)}\n" in again.stdout


@pytest.mark.campaign
def test_after_an_interruption_the_command_to_resume_is_printed(clone: Path) -> None:
    few = "make_demo: {train_videos: 2, val_videos: 3, test_videos: 0, broken_videos: 0}\n"
    (clone / "few.yaml").write_text(few)  # snakemake waits for a job that an early Ctrl-C did not reach
    words = ["--cores", "1", "results/demo/source/manifest.json", "--configfile", "few.yaml"]
    status, output = interrupt(clone, words)
    while status == 0:  # snakemake lost the signal, as it may at some instants, and finished
        shutil.rmtree(clone / "results" / "demo")
        status, output = interrupt(clone, words)
    assert f"To resume: {sys.executable} -m snakemake {' '.join(words)}\n" in output
