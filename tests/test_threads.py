"""Threads of the numerical libraries: how many, how they wait, and that the user decides."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.campaigns import quick_cases
from helpers.video_corpus import SMALL, write_video_corpus
from helpers.workflow_sandbox import snakemake

from pipeline import threads
from pipeline.threads import BLOCK_TIME_MS, SPIN_COUNT, WAIT_VARIABLES, count_cores, set_thread_defaults
from workflow.scripts.gpu_lease import share_threads

ROOT = Path(__file__).resolve().parents[1]
SHOW_THREADS = "import pipeline, torch; print(torch.get_num_threads())"
TRAIN = """
import pipeline, hashlib, torch
from pipeline.encoders.r2plus1d import build_encoder
torch.manual_seed(0)
encoder = build_encoder("r2plus1d_narrow").train()
optimizer = torch.optim.SGD(encoder.parameters(), 0.01)
for _ in range(2):
    optimizer.zero_grad()
    encoder(torch.randn(4, 3, 4, 48, 48)).square().mean().backward()
    optimizer.step()
weights = b"".join(value.numpy().tobytes() for value in encoder.state_dict().values())
print(torch.get_num_threads(), hashlib.sha256(weights).hexdigest())
"""


def use_one_core() -> None:
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


def start_python(*words: str, on_one_core: bool = False, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run python with no variables of threads but these."""
    environment = {
        key: value
        for key, value in os.environ.items()
        if key not in WAIT_VARIABLES and not key.endswith("_NUM_THREADS")
    }
    return subprocess.run(
        [sys.executable, *words],
        cwd=ROOT,
        env=environment | variables,
        capture_output=True,
        text=True,
        preexec_fn=use_one_core if on_one_core else None,
        check=True,
    )


def used_variables(*words: str, **variables: str) -> dict[str, str]:
    """Return the variables that GNU's OpenMP has in effect in a process, as it lists them when it is loaded."""
    process = start_python(*words, OMP_DISPLAY_ENV="verbose", **variables)
    return dict(re.findall(r"(\w+) = '(.*)'", process.stderr))


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the root of the system files of a machine with eight cores, without control groups."""
    monkeypatch.setattr(threads, "SYSTEM", tmp_path)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    return tmp_path


def write_group(machine: Path, membership: str, files: dict[str, str]) -> None:
    """Write the control group of this process.

    Args:
        machine: root of the system files.
        membership: line of `/proc/self/cgroup`.
        files: path below `/sys/fs/cgroup`, and text.
    """
    files_of_system = {"proc/self/cgroup": f"5:memory:/other\n{membership}"}
    files_of_system |= {f"sys/fs/cgroup/{name}": text for name, text in files.items()}
    for name, text in files_of_system.items():
        (machine / name).parent.mkdir(parents=True, exist_ok=True)
        (machine / name).write_text(f"{text}\n")


@pytest.mark.parametrize("words", quick_cases([["-m", "pipeline.pretrain_encoder", "--help"], ["-c", SHOW_THREADS]], 1))
def test_the_variables_are_set_before_pytorch_is_loaded(words: list[str]) -> None:
    assert used_variables(*words)["GOMP_SPINCOUNT"] == SPIN_COUNT


def test_variables_of_the_environment_win() -> None:
    variables = used_variables("-c", SHOW_THREADS, OMP_WAIT_POLICY="ACTIVE", OMP_NUM_THREADS="3")
    assert variables["OMP_WAIT_POLICY"] == "ACTIVE"
    assert int(variables["GOMP_SPINCOUNT"]) > 1_000_000
    assert variables["OMP_NUM_THREADS"] == "3"


@pytest.mark.parametrize("name", sorted(WAIT_VARIABLES))
def test_a_variable_about_waiting_leaves_all_waiting_to_the_user(name: str, machine: Path) -> None:
    environment = {name: "7"}
    set_thread_defaults(environment)
    assert environment == {name: "7"}


def test_without_a_limit_the_libraries_choose_the_number_of_threads(machine: Path) -> None:
    environment: dict[str, str] = {}
    set_thread_defaults(environment)
    assert environment == {"GOMP_SPINCOUNT": SPIN_COUNT, "KMP_BLOCKTIME": BLOCK_TIME_MS}


@pytest.mark.parametrize(
    ("membership", "files", "cores"),
    [
        ("0::/", {"cpu.max": "300000 100000"}, 3),
        ("0::/", {"cpu.max": "150000 100000"}, 2),
        ("0::/", {"cpu.max": "10000 100000"}, 1),
        ("0::/", {"cpu.max": "max 100000"}, 8),
        ("0::/", {"cpu.max": "3200000 100000"}, 8),
        ("0::/slurm/job", {"slurm/job/cpu.max": "max 100000", "slurm/cpu.max": "200000 100000"}, 2),
        ("0::/path/of/the/host", {"cpu.max": "200000 100000"}, 2),
        ("3:cpu,cpuacct:/job", {"cpu/job/cpu.cfs_quota_us": "200000", "cpu/job/cpu.cfs_period_us": "100000"}, 2),
        ("3:cpu,cpuacct:/job", {"cpu/job/cpu.cfs_quota_us": "-1", "cpu/job/cpu.cfs_period_us": "100000"}, 8),
    ],
)
def test_a_limit_of_processor_time_limits_the_threads(
    membership: str, files: dict[str, str], cores: int, machine: Path
) -> None:
    write_group(machine, membership, files)
    assert count_cores() == cores
    environment: dict[str, str] = {}
    set_thread_defaults(environment)
    assert environment.get("OMP_NUM_THREADS", "8") == str(cores)
    environment = {"OMP_NUM_THREADS": "7"}
    set_thread_defaults(environment)
    assert environment["OMP_NUM_THREADS"] == "7"


@pytest.fixture(scope="module")
def trained() -> str:
    """What a training on two threads prints: their number, and the hash of the weights."""
    trained = start_python("-c", TRAIN, OMP_NUM_THREADS="2").stdout
    assert trained.startswith("2 ")
    return trained


@pytest.mark.parametrize(
    ("variables", "on_one_core"),
    [
        ({"OMP_WAIT_POLICY": "PASSIVE"}, True),
        pytest.param({"OMP_WAIT_POLICY": "PASSIVE"}, False, marks=pytest.mark.campaign),
        pytest.param({"GOMP_SPINCOUNT": "300000"}, False, id="the library's default", marks=pytest.mark.campaign),
    ],
)
def test_training_is_equal_to_the_last_bit_however_threads_wait(
    trained: str, variables: dict[str, str], *, on_one_core: bool
) -> None:
    process = start_python("-c", TRAIN, OMP_NUM_THREADS="2", on_one_core=on_one_core, **variables)
    assert process.stdout == trained


def test_a_stage_runs_on_one_core(tmp_path: Path) -> None:
    corpus = write_video_corpus(tmp_path, {"train": 3, "val": 2})
    output = tmp_path / "encoder" / "manifest.json"
    files = {"--corpus": corpus.corpus, "--videos": corpus.videos, "--concepts": corpus.concepts}
    files |= {"--state": tmp_path / "state", "--output": output}
    words = ["--name", "one", "--config", json.dumps({**SMALL, "epochs": 1, "workers": 2})]
    words += [str(word) for pair in files.items() for word in pair]
    start_python("-m", "pipeline.pretrain_encoder", *words, on_one_core=True)
    assert "- devices: 1 x 1 threads " in (output.parent / "card.md").read_text()


@pytest.mark.end_to_end
def test_a_job_has_the_threads_of_its_rule(finished_run: Path) -> None:
    for encoder in ("initial", "sa_tsp"):
        card = (finished_run / "results" / "demo" / "encoders" / encoder / "card.md").read_text()
        assert "- devices: 1 x 2 threads " in card, "the rule's eight, limited by --cores 2"


def test_the_threads_of_a_rule_win_and_the_way_of_waiting_is_inherited(tmp_path: Path) -> None:
    script = "import pipeline, os, torch; print(torch.get_num_threads(), os.environ['OMP_WAIT_POLICY'])"
    (tmp_path / "show.py").write_text(script)
    (tmp_path / "Snakefile").write_text(
        f"rule show:\n    output: 'shown.txt'\n    threads: 3\n"
        f"    shell: 'PYTHONPATH={ROOT} {sys.executable} show.py > {{output}}'\n"
    )
    process = snakemake(tmp_path, "--cores", "2", OMP_NUM_THREADS="5", OMP_WAIT_POLICY="PASSIVE")
    assert process.returncode == 0, process.stdout
    assert (tmp_path / "shown.txt").read_text() == "2 PASSIVE\n"


def test_the_processes_of_a_job_share_its_threads() -> None:
    environment = {"OMP_NUM_THREADS": "8", "MKL_NUM_THREADS": "2", "OMP_WAIT_POLICY": "PASSIVE", "PATH": "/bin"}
    assert share_threads(environment, 4) == {**environment, "OMP_NUM_THREADS": "2", "MKL_NUM_THREADS": "1"}
    assert share_threads(environment, 1) == environment
