"""Section `resume` of gpu.py: pretraining on the demo must give equal weights however it is run."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.io.atomic import sha256

import torch
from gpu_common import Row, Setting, continue_after_crash
from torch import distributed

SECTION = "resume"
ROOT = Path(__file__).resolve().parents[1]
DETERMINISTIC_STAGE = Path(__file__).with_name("gpu_stage.py")
STEPS_PER_EPOCH = 4
CONFIG: dict[str, Any] = {
    "architecture": "r2plus1d_narrow",
    "initial_weights": None,
    "freeze_stem": False,
    "clip": {"frames": 8, "fps": 7.5, "height": 72, "width": 96, "crop": 64},
    "background_gap": 1.2,
    "empty_classes": "allow",
    "epochs": 2,
    "steps_per_epoch": STEPS_PER_EPOCH,
    "batch_size": 16,
    "workers": 0,
    "save_every": 1,
}
CHECKPOINTS_BEFORE_KILL = STEPS_PER_EPOCH + 3
"""Epoch 1 saves a checkpoint after each step and one at its end: the kill comes after step 2 of epoch 2."""
TIMEOUT_S = 240.0
MAX_PARALLEL_RUNS = 4


@dataclass(frozen=True)
class Run:
    """One way to run the pretraining.

    Attributes:
        baseline: name of the run that must have the same weights.
        processes: number of processes of torchrun; 0: without torchrun.
        accumulate_steps: micro-batches per step.
        is_killed: kill the run in the middle of an epoch, and continue it.
    """

    baseline: str = "one run"
    processes: int = 0
    accumulate_steps: int = 1
    is_killed: bool = False


RUNS = {
    "one run": Run(),
    "repeated": Run(),
    "killed in the middle and continued": Run(is_killed=True),
    "torchrun, 1 process": Run(processes=1),
}
TWO_PROCESSES = {
    "two micro-batches": Run("two micro-batches", accumulate_steps=2),
    "torchrun, 2 processes": Run("two micro-batches", processes=2, accumulate_steps=2),
}
"""If there are several GPUs: NCCL accepts one process per GPU."""


def run_resume(setting: Setting) -> Iterator[Row]:
    """Compare the weights of several runs of the same pretraining.

    Some algorithms of cuDNN are not deterministic. If the repeated run has other weights than the first run, the other
    differences say nothing about resume and are not failures. Then the section runs everything once more, with
    deterministic algorithms only.
    """
    concepts = setting.demo / "concepts.json"
    if not concepts.is_file():
        raise FileNotFoundError(f"{concepts}: no such file; run `make demo`, or give its results with --demo")
    has_several_gpus = setting.device.type == "cuda" and torch.cuda.device_count() > 1
    runs = {**RUNS, **(TWO_PROCESSES if has_several_gpus else {})}
    for is_deterministic in (False, True):
        digests = _run_all(setting, runs, is_deterministic=is_deterministic)
        is_repeatable = digests["repeated"] == digests["one run"]
        subject = "weights of pretraining" + ", deterministic algorithms" * is_deterministic
        for name, run in runs.items():
            if name != run.baseline:
                differs = digests[name] != digests[run.baseline]
                is_explained = differs and not is_repeatable and name != "repeated"
                note = " (so does the repeated run)" * is_explained
                is_failure = differs and (is_repeatable or is_deterministic)
                figure = f"{name} differs from {run.baseline}{note}"
                yield Row(SECTION, subject, figure, float(differs), "(0 or 1)", "0", passed=not is_failure)
        if is_repeatable:
            break
    yield from continue_after_crash(SECTION, "collectives", _collective_rows(setting))


def _run_all(setting: Setting, runs: dict[str, Run], *, is_deterministic: bool) -> dict[str, str]:
    """Run every run, several at once if there are enough cores; return the sha256 of the weights of each."""
    with tempfile.TemporaryDirectory(dir=setting.folder) as folder:
        folders = [Path(folder) / str(index) for index in range(len(runs))]
        with ThreadPoolExecutor(min(MAX_PARALLEL_RUNS, max(1, setting.cores // 4))) as pool:
            futures = {
                name: pool.submit(_weights_digest, setting, run, run_folder, is_deterministic)
                for (name, run), run_folder in zip(runs.items(), folders, strict=True)
            }
            return {name: future.result() for name, future in futures.items()}


def _weights_digest(setting: Setting, run: Run, folder: Path, is_deterministic: bool) -> str:
    """Run the pretraining; return the sha256 of its weights."""
    folder.mkdir()
    words, output = _command(setting, run, folder, is_deterministic), folder / "encoder" / "manifest.json"
    if run.is_killed:
        _kill_in_epoch_2(words, folder)
        metrics = output.with_name("metrics.jsonl").read_text().splitlines()
        if output.exists() or len(metrics) != 1:
            raise RuntimeError(f"the run was to be killed in epoch 2, but has finished {len(metrics)} epochs")
    process = _start(words, folder)
    try:
        process.wait(TIMEOUT_S)
    finally:
        process.kill()
    if process.returncode:
        raise RuntimeError(f"{' '.join(words)}: exit status {process.returncode}\n{_tail(folder)}")
    return sha256(output.with_name("model.safetensors"))


def _command(setting: Setting, run: Run, folder: Path, is_deterministic: bool) -> list[str]:
    config = {**CONFIG, "device": setting.device.type, "accumulate_steps": run.accumulate_steps}
    words = [sys.executable]
    if run.processes:
        words += ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(run.processes)]
    words += [str(DETERMINISTIC_STAGE)] if is_deterministic else ["-m", "pipeline.pretrain_encoder"]
    words += ["--name", "gpu", "--config", json.dumps(config)]
    words += ["--corpus", str(setting.demo / "corpus" / "manifest.json"), "--videos", str(setting.demo / "video")]
    words += ["--concepts", str(setting.demo / "concepts.json")]
    return [*words, "--state", str(folder / "state"), "--output", str(folder / "encoder" / "manifest.json")]


def _start(words: list[str], folder: Path) -> subprocess.Popen[bytes]:
    """Start a command; its output is added to a log in the folder."""
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(paths),
        "OMP_NUM_THREADS": "1",  # torchrun sets it; the number of threads changes sums on a CPU
        "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
    }
    with (folder / "log.txt").open("ab") as log:
        return subprocess.Popen(words, stdout=log, stderr=log, env=environment)


def _tail(folder: Path) -> str:
    return "\n".join((folder / "log.txt").read_text(errors="replace").splitlines()[-30:])


def _kill_in_epoch_2(words: list[str], folder: Path) -> None:
    """Start the pretraining, and kill it when epoch 2 has saved its second checkpoint.

    Raises:
        RuntimeError: the run ended before.
    """
    process = _start(words, folder)
    end = time.monotonic() + TIMEOUT_S
    while process.poll() is None and time.monotonic() < end:
        numbers = [int(path.stem.removeprefix("state-")) for path in (folder / "state").glob("state-*.json")]
        if max(numbers, default=0) >= CHECKPOINTS_BEFORE_KILL:
            process.kill()
            process.wait()
            return
        time.sleep(0.002)
    process.kill()
    raise RuntimeError(f"the run ended before it was killed\n{_tail(folder)}")


def _collective_rows(setting: Setting) -> Iterator[Row]:
    """Run the collectives that training uses in a group of one process, whose results are the inputs."""
    backend = "nccl" if setting.device.type == "cuda" else "gloo"
    store = distributed.FileStore(str(setting.folder / "store"), 1)
    distributed.init_process_group(backend, store=store, rank=0, world_size=1)
    try:
        differing = 0
        for dtype in (torch.float32, torch.int64, torch.uint8):
            values = torch.arange(1000, device=setting.device).to(dtype)
            reduced, gathered, sent = values.clone(), torch.zeros_like(values), values.clone()
            distributed.all_reduce(reduced)
            distributed.all_gather([gathered], values)
            distributed.broadcast(sent, 0)
            differing += sum(not torch.equal(values, result) for result in (reduced, gathered, sent))
        distributed.barrier()
    finally:
        distributed.destroy_process_group()
    yield Row(
        SECTION, f"collectives, {backend}, 1 process", "wrong results", float(differing), "of 9", "0", differing == 0
    )
