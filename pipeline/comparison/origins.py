"""The origin of the numbers of a comparison: digests of files, settings, code hashes, and computing times."""

import platform
from pathlib import Path
from typing import Any

from pipeline.comparison.scored_datasets import ComparedDataset, ComparedDatasets
from pipeline.config.compare_systems import ComparisonEntry, System
from pipeline.evaluation.dataset_result import library_versions
from pipeline.io.atomic import sha256
from pipeline.provenance.benchmarks import last_run
from pipeline.provenance.code_hash import code_hash
from pipeline.provenance.trace import summarize_provenance

STAGE = "compare_systems"

TRAINING_STAGES = ("pretrain_encoder", "train_proposer", "train_captioner", "finetune_scst")
"""Stages whose settings the result repeats in full."""


def describe_origins(datasets: ComparedDatasets, config: ComparisonEntry) -> dict[str, Any]:
    """Describe what was compared, by which code and settings it was made, and how long it took.

    Returns:
        `settings` of the comparison; `artifacts`: dataset -> system -> digests and seconds; `code_hashes`: stage ->
        hash, or several hashes separated by spaces if several versions of the code made the inputs; `config_digests`:
        output -> digest of its settings; `trained`: output of a training -> its settings; `python` and `libraries`:
        versions.
    """
    records = summarize_provenance([path for dataset in datasets for path in dataset.inputs])
    stages = {path: record for path, record in records.items() if "stage" in record}
    hashes: dict[str, set[str]] = {STAGE: {code_hash(f"pipeline.{STAGE}")}}
    for record in stages.values():
        hashes.setdefault(record["stage"], set()).add(record["code"])
    return {
        "settings": config.model_dump(mode="json"),
        "artifacts": {dataset.folder.name: _artifacts_of(dataset, config) for dataset in datasets},
        "code_hashes": {stage: " ".join(sorted(values)) for stage, values in sorted(hashes.items())},
        "config_digests": {path: record["config_digest"] for path, record in stages.items()},
        "trained": {path: record["config"] for path, record in stages.items() if record["stage"] in TRAINING_STAGES},
        "python": platform.python_version(),
        "libraries": library_versions(),
    }


def _artifacts_of(dataset: ComparedDataset, config: ComparisonEntry) -> dict[str, Any]:
    systems = {system.name: system for system in config.systems}
    return {name: _describe_system(dataset, name, systems.get(name)) for name in dataset.captions}


def _describe_system(dataset: ComparedDataset, name: str, system: System | None) -> dict[str, Any]:
    """Describe the files of a system.

    Args:
        dataset: the dataset.
        name: name of the system.
        system: its settings; None for the control, which trains nothing of its own.
    """
    description: dict[str, Any] = {
        "captions_sha256": {proposals: sha256(path) for proposals, path in dataset.captions[name].items()}
    }
    if system is None:
        return description
    jobs = [
        f"{stage}/{member.captioner}-{member.seed}"
        for member in system.members
        for stage in (("train_captioner",) if member.before_scst else ("train_captioner", "finetune_scst"))
    ]
    if probe := dataset.probes.get(name):
        description["weights_sha256"] = probe["weights_sha256"]
        jobs.insert(0, f"pretrain_encoder/{probe['encoder']}")
    description["seconds"] = {job: seconds for job in jobs if (seconds := _seconds(dataset.folder, job)) is not None}
    return description


def _seconds(folder: Path, job: str) -> float | None:
    """Return how long Snakemake's last run of a job took [s]; None if Snakemake did not run it.

    Args:
        folder: results of the dataset.
        job: `<stage>/<name>`, as in the names of benchmark files.
    """
    benchmark = last_run(folder / "benchmarks" / f"{job}.jsonl")
    return None if benchmark is None else round(float(benchmark["s"]), 1)
