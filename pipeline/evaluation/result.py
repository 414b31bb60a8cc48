"""The final result of a dataset: the scores of what the whole road has made, and how all of it was made."""

import hashlib
import importlib.metadata
import json
import platform
from collections import Counter
from pathlib import Path
from typing import Any

from pipeline.config.evaluate import Evaluate
from pipeline.datasets.corpus import REJECTS, Corpus
from pipeline.errors import PipelineError
from pipeline.evaluation.evaluator import evaluate, identity, predicted_events, reference_events, table
from pipeline.evaluation.events import Events
from pipeline.io.tables import read_table
from pipeline.provenance.code_hash import stamp
from pipeline.provenance.manifest import read_manifest
from pipeline.provenance.record import trace
from pipeline.video.shard import shard_manifest

STAGE = "evaluate"
LIBRARIES = (
    "av",
    "imageio-ffmpeg",
    "lemminflect",
    "numpy",
    "pycocoevalcap",
    "spacy",
    "torch",
    "torchvision",
    "zarr",
)
"""The libraries on whose versions the numbers may depend."""


def assemble(
    settings: Evaluate, corpus_manifest: Path, videos: Path, sets: dict[str, Path], split: str
) -> dict[str, Any]:
    """Score the three caption files of a dataset.

    Args:
        settings: the section.
        corpus_manifest: of the dataset.
        videos: folder of the re-encoded shards.
        sets: caption files, by the names `gt`, `learned` and `control`.
        split: which videos to score.

    Returns:
        The final result.

    Raises:
        PipelineError: there is nothing to score, or an input is malformed.
    """
    corpus = Corpus.open(corpus_manifest)
    files = corpus.references(split)
    listed = [reference_events(path) for path in files]
    present = {row["video"] for row in corpus.of_splits(split)}
    scored = [{video: events for video, events in known.items() if video in present} for known in listed]
    if not any(scored):
        raise PipelineError(
            f"{corpus_manifest}: no video of split {split} has a file and reference captions; nothing to score"
        )
    captions = {name: predicted_events(path) for name, path in sets.items()}
    reencoded = corpus.rejected(videos)
    found = {name: scores.summary() for name, scores in evaluate(captions, scored, settings).items()}
    print(table(found))
    roads = {name: values for name, values in found.items() if name != "control"}
    metrics = [name for name in found["gt"] if name == "F1" or isinstance(found["gt"][name], dict)]
    compared = [name for name in metrics if name not in ("Precision", "Recall", "F1", "diversity")]
    return {
        **{metric: {name: values[metric] for name, values in roads.items()} for metric in metrics},
        "control": {metric: {"gt": found["control"][metric]} for metric in compared},
        "counts": _counts(corpus, reencoded, corpus.partial(videos), listed, scored, found),
        "evaluator": identity(settings, files),
        "provenance": provenance(settings, inputs(corpus_manifest, videos, sets)),
    }


def inputs(corpus_manifest: Path, videos: Path, sets: dict[str, Path]) -> list[Path]:
    """The files that a final result is made from."""
    shards = Corpus.open(corpus_manifest).manifest.facts["shards"]
    return [corpus_manifest, *(shard_manifest(videos, shard) for shard in range(shards)), *sets.values()]


def _counts(
    corpus: Corpus,
    reencoded: list[dict[str, Any]],
    partial: list[dict[str, Any]],
    listed: list[dict[str, Events]],
    scored: list[dict[str, Events]],
    found: dict[str, dict[str, Any]],
) -> dict[str, Any]:
    """What was scored and what was lost: videos of the split; rejects and partial videos of the whole corpus by reason.

    Args:
        corpus: with the rejects of its own.
        reencoded: rejects of re-encoding, all shards.
        partial: videos of which only the beginning is there, all shards.
        listed: reference events of the split by each annotator.
        scored: those of the videos that are there.
        found: scores of each caption file.
    """
    rejects = [*read_table(corpus.manifest.payload("rejects.parquet"), REJECTS), *reencoded]
    every, inside = set().union(*listed), set().union(*scored)
    return {
        "videos": {
            "listed": len(every),
            "missing": len(every - inside),
            "rejected": len(inside & {row["video"] for row in reencoded}),
            "partial": len(inside & {row["video"] for row in partial}),
            "scored": len(inside),
            "predicted": {name: values["n_predicted_videos"] for name, values in found.items()},
        },
        "events": sum(len(events.sentences) for known in scored for events in known.values()),
        "captions": {name: values["n_captions"] for name, values in found.items()},
        "rejects": dict(sorted(Counter(row["reason"] for row in rejects).items())),
        "partial": dict(sorted(Counter(row["reason"] for row in partial).items())),
    }


def provenance(settings: Evaluate, inputs: list[Path]) -> dict[str, Any]:
    """How a result was made, from its beginnings.

    Returns:
        config_digest (one for all stages' settings), code (stage -> stamp), seeds (output -> the seeds in its
        settings and its manifest), stages (stage -> each distinct pair of settings and code, with its
        outputs), sources (the files that no stage made -> sha256), python, libraries.
    """
    traced = trace(inputs)
    made = {path: entry for path, entry in traced.items() if "stage" in entry}
    own = {
        "stage": STAGE,
        "code": stamp(f"pipeline.{STAGE}"),
        "config_digest": settings.digest(),
        "config": settings.model_dump(mode="json"),
    }
    stages: dict[str, dict[tuple[str, str], dict[str, Any]]] = {}
    for path, entry in [*made.items(), (None, own)]:
        kind = {name: entry[name] for name in ("config_digest", "code", "config")}
        alike = stages.setdefault(entry["stage"], {})
        alike.setdefault((kind["config_digest"], kind["code"]), {**kind, "outputs": []})
        if path is not None:
            alike[kind["config_digest"], kind["code"]]["outputs"].append(path)
    used = sorted((stage, digest) for stage, kinds in stages.items() for digest, _ in kinds)
    return {
        "config_digest": hashlib.sha256(json.dumps(used).encode()).hexdigest()[:16],
        "code": {stage: " ".join(sorted({code for _, code in kinds})) for stage, kinds in sorted(stages.items())},
        "seeds": {path: found for path, entry in made.items() if (found := _seeds(Path(path), entry["config"]))},
        "stages": {stage: list(kinds.values()) for stage, kinds in sorted(stages.items())},
        "sources": {path: entry["sha256"] for path, entry in traced.items() if "stage" not in entry},
        "python": platform.python_version(),
        "libraries": {name: importlib.metadata.version(name) for name in LIBRARIES},
    }


def _seeds(output: Path, config: dict[str, Any]) -> dict[str, int]:
    """Seeds of an output: those in its settings, and the one in its manifest that a command line gave."""
    found = {key: value for key, value in config.items() if key == "seed" or key.endswith("_seed")}
    if output.name == "manifest.json" and "seed" in (facts := read_manifest(output).facts):
        found["seed"] = facts["seed"]
    return found
