"""Where the numbers of a comparison come from: digests of files, settings and code, and the seconds it all took."""

import importlib.metadata
import json
import platform
from pathlib import Path
from typing import Any

from pipeline.comparison.corpora import Seed, Seeds
from pipeline.config.compare_encoders import CompareEncoders
from pipeline.evaluation.result import LIBRARIES
from pipeline.io.atomic import sha256
from pipeline.provenance.code_hash import stamp
from pipeline.provenance.record import trace

TRAINED = ("pretrain_encoder", "train_captioner", "finetune_scst")


def origins(seeds: Seeds, config: CompareEncoders) -> dict[str, Any]:
    """What was compared, by what code and settings.

    Returns:
        settings of the comparison; made: for each corpus the digests of encoders and captions, and seconds; besides,
        what `beginnings` gives.
    """
    return {
        "settings": config.model_dump(mode="json"),
        "made": {seed.folder.name: {arm: _made(seed, arm, config) for arm in seed.captions} for seed in seeds},
        **beginnings("compare_encoders", [path for seed in seeds for path in seed.inputs]),
    }


def beginnings(stage: str, inputs: list[Path]) -> dict[str, Any]:
    """By what code and settings the inputs of a comparison were made.

    Args:
        stage: that compares.
        inputs: declared outputs of earlier stages.

    Returns:
        code: stage -> stamps; config_digests: output -> digest of its stage's settings; trained: for what was trained,
        the settings themselves; python, libraries.
    """
    stages = {path: entry for path, entry in trace(inputs).items() if "stage" in entry}
    codes: dict[str, set[str]] = {stage: {stamp(f"pipeline.{stage}")}}
    for entry in stages.values():
        codes.setdefault(entry["stage"], set()).add(entry["code"])
    return {
        "code": {stage: " ".join(sorted(found)) for stage, found in sorted(codes.items())},
        "config_digests": {path: entry["config_digest"] for path, entry in stages.items()},
        "trained": {path: entry["config"] for path, entry in stages.items() if entry["stage"] in TRAINED},
        "python": platform.python_version(),
        "libraries": {name: importlib.metadata.version(name) for name in LIBRARIES},
    }


def _made(seed: Seed, arm: str, config: CompareEncoders) -> dict[str, Any]:
    found: dict[str, Any] = {"captions_sha256": sha256(seed.captions[arm])}
    if arm in seed.probes:
        encoder = seed.probes[arm]["encoder"]
        captioner = next(each.captioner for each in config.arms if each.feature == arm)
        jobs = {"pretrain_encoder": encoder, "train_captioner": f"{captioner}-{config.captioner_seed}"}
        found["weights_sha256"] = seed.probes[arm]["weights_sha256"]
        found["seconds"] = {stage: seconds(seed.folder, stage, job) for stage, job in jobs.items()}
    return found


def seconds(folder: Path, stage: str, job: str) -> float | None:
    """What snakemake has noted of a job, its last run; None where it was not run by snakemake.

    Args:
        folder: results of the dataset.
        stage: of the job.
        job: what its files of logs and benchmarks are called.
    """
    noted = folder / "benchmarks" / stage / f"{job}.jsonl"
    if not noted.is_file():
        return None
    return round(float(json.loads(noted.read_text(encoding="utf-8").splitlines()[-1])["s"]), 1)
