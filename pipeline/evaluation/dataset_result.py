"""The final result of a dataset: the scores of its captions, what was counted and lost, and how all of it was made."""

import hashlib
import importlib.metadata
import json
import platform
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.config.base import Settings
from pipeline.config.evaluate import Evaluate
from pipeline.datasets.corpus import Corpus, PartialVideo, RejectedVideo
from pipeline.errors import PipelineError
from pipeline.evaluation.evaluator import (
    describe_evaluator,
    evaluate_caption_sets,
    format_caption_scores,
    read_predicted_events,
    read_reference_events,
)
from pipeline.evaluation.matching import EventsByVideo
from pipeline.evaluation.metric import metric_libraries
from pipeline.provenance.code_hash import code_hash
from pipeline.provenance.manifest import read_manifest
from pipeline.provenance.trace import summarize_provenance
from pipeline.video.shard import shard_manifest

STAGE = "evaluate"
STAGE_LIBRARIES = (
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
"""Libraries of all stages on whose versions the numbers may depend; metrics name more of them."""


def library_versions() -> dict[str, str]:
    """Return the installed versions of the libraries on which the numbers may depend."""
    return {name: importlib.metadata.version(name) for name in sorted({*STAGE_LIBRARIES, *metric_libraries()})}


def score_dataset(
    settings: Evaluate, corpus_manifest: Path, videos: Path, sets: Mapping[str, Path], split: str
) -> dict[str, Any]:
    """Score the three caption files of a dataset.

    Args:
        settings: section `evaluate`.
        corpus_manifest: manifest of the dataset's corpus.
        videos: folder of the re-encoded shards.
        sets: caption files `gt` (ground-truth proposals), `learned` (learned proposals) and `control` (ground-truth
            proposals, features of another video).
        split: split to score.

    Returns:
        The final result: docs/evaluation.md describes its keys.

    Raises:
        PipelineError: there is nothing to score, or an input is malformed.
    """
    corpus = Corpus.open(corpus_manifest)
    files = corpus.references(split)
    annotations = [read_reference_events(path) for path in files]
    present = {row.video for row in corpus.videos_of_splits(split)}
    references = [
        {video: events for video, events in annotator.items() if video in present} for annotator in annotations
    ]
    if not any(references):
        raise PipelineError(
            f"{corpus_manifest}: no video of split {split} has a file and reference captions; nothing to score"
        )
    captions = {name: read_predicted_events(path) for name, path in sets.items()}
    # Before minutes of scoring: a shard may be missing.
    rejected, partial = corpus.reencoding_rejects(videos), corpus.partial_videos(videos)
    scores = evaluate_caption_sets(captions, references, settings)
    summaries = {name: set_scores.summary() for name, set_scores in scores.items()}
    print(format_caption_scores(summaries))
    names = [name for name, value in summaries["gt"].items() if name == "F1" or isinstance(value, dict)]
    # Precision and Recall of the control are those of its proposals, which are the ground truth's.
    control_names = [name for name in names if name not in ("Precision", "Recall", "F1", "diversity")]
    notes = {key: summary["notes"] for key, summary in summaries.items() if "notes" in summary}
    return {
        **{name: {key: summaries[key][name] for key in summaries if key != "control"} for name in names},
        "control": {name: {"gt": summaries["control"][name]} for name in control_names},
        **({"notes": notes} if notes else {}),
        "counts": _count(corpus, rejected, partial, annotations, references, summaries),
        "evaluator": describe_evaluator(settings, files),
        "provenance": trace_provenance(settings, result_inputs(corpus_manifest, videos, sets)),
        "per_video": {name: set_scores.per_video_table() for name, set_scores in scores.items()},
    }


def result_inputs(corpus_manifest: Path, videos: Path, sets: Mapping[str, Path]) -> list[Path]:
    """Return the files that a final result is made from."""
    shards = Corpus.open(corpus_manifest).num_shards
    return [corpus_manifest, *(shard_manifest(videos, shard) for shard in range(shards)), *sets.values()]


def _count(
    corpus: Corpus,
    rejected: Sequence[RejectedVideo],
    partial: Sequence[PartialVideo],
    annotations: Sequence[EventsByVideo],
    references: Sequence[EventsByVideo],
    summaries: Mapping[str, Mapping[str, Any]],
) -> dict[str, Any]:
    """Count videos, events and captions of the split; rejected and partial videos of the whole corpus, by reason.

    Args:
        corpus: the corpus.
        rejected: videos that could not be re-encoded.
        partial: videos that were re-encoded in part.
        annotations: references of the split, by annotator.
        references: those of them whose video has a file.
        summaries: summary of each caption file.
    """
    listed, scored = set().union(*annotations), set().union(*references)
    return {
        "videos": {
            "listed": len(listed),
            "missing": len(listed - scored),
            "rejected": len(scored & {row.video for row in rejected}),
            "partial": len(scored & {row.video for row in partial}),
            "scored": len(scored),
            "predicted": {name: summary["n_predicted_videos"] for name, summary in summaries.items()},
        },
        "events": sum(len(events.sentences) for reference in references for events in reference.values()),
        "captions": {name: summary["n_captions"] for name, summary in summaries.items()},
        "rejects": dict(sorted(Counter(row.reason for row in [*corpus.rejects, *rejected]).items())),
        "partial": dict(sorted(Counter(row.reason for row in partial).items())),
    }


def trace_provenance(settings: Settings, inputs: Sequence[Path], stage: str = STAGE) -> dict[str, Any]:
    """Describe how a result was made, from the first stage on.

    Args:
        settings: section of the stage that writes the result.
        inputs: files that the result is made from.
        stage: the stage that writes the result.

    Returns:
        config_digest (one for the settings of all stages), code (stage -> code hash), seeds (output -> the seeds in its
        settings and its manifest), stages (stage -> each distinct pair of settings and code, with its outputs), sources
        (files that no stage made -> sha256), python, libraries.
    """
    entries = summarize_provenance(list(inputs))
    outputs = {path: entry for path, entry in entries.items() if "stage" in entry}
    evaluation = {
        "stage": stage,
        "code": code_hash(f"pipeline.{stage}"),
        "config_digest": settings.digest(),
        "config": settings.model_dump(mode="json"),
    }
    stages: dict[str, dict[tuple[str, str], dict[str, Any]]] = {}
    for path, entry in [*outputs.items(), (None, evaluation)]:
        version = {name: entry[name] for name in ("config_digest", "code", "config")}
        versions = stages.setdefault(entry["stage"], {})
        key = version["config_digest"], version["code"]
        versions.setdefault(key, {**version, "outputs": []})
        if path is not None:
            versions[key]["outputs"].append(path)
    digests = sorted((stage, digest) for stage, versions in stages.items() for digest, _ in versions)
    return {
        "config_digest": hashlib.sha256(json.dumps(digests).encode()).hexdigest()[:16],
        "code": {stage: " ".join(sorted({code for _, code in versions})) for stage, versions in sorted(stages.items())},
        "seeds": {path: seeds for path, entry in outputs.items() if (seeds := _seeds(Path(path), entry["config"]))},
        "stages": {stage: list(versions.values()) for stage, versions in sorted(stages.items())},
        "sources": {path: entry["sha256"] for path, entry in entries.items() if "stage" not in entry},
        "python": platform.python_version(),
        "libraries": library_versions(),
    }


def _seeds(output: Path, config: Mapping[str, Any]) -> dict[str, int]:
    """Return the seeds of an output: those in its settings, and the command line's, which is in its manifest."""
    seeds = {key: value for key, value in config.items() if key == "seed" or key.endswith("_seed")}
    if output.name == "manifest.json" and "seed" in (metadata := read_manifest(output).metadata):
        seeds["seed"] = metadata["seed"]
    return seeds
