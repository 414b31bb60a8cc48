"""Proposals: segments of a video that may be events, and the ActivityNet file that stores them."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.datasets.corpus import SPLITS, Corpus
from pipeline.errors import PipelineError
from pipeline.io.atomic import read_json, write_json
from pipeline.provenance.record import record_path

VERSION = "VERSION 1.3"


@dataclass(frozen=True, order=True)
class Proposal:
    """One proposal; proposals are ordered by time.

    Attributes:
        start: seconds.
        end: seconds.
        score: higher for more likely events. Scores of proposers are in [0, 1]; scores of a file have any scale.
    """

    start: float
    end: float
    score: float


def ground_truth_proposals(corpus: Corpus, annotator: int) -> dict[str, list[Proposal]]:
    """Return the annotated events of every captioned video that has a file.

    Args:
        corpus: the events.
        annotator: whose events are returned; of a video that this annotator did not annotate, those of the first one.
    """
    videos = {row.video for row in corpus.videos if row.path is not None}
    return {
        video: [
            Proposal(event.start, event.end, 1.0) for event in annotators.get(annotator) or annotators[min(annotators)]
        ]
        for video, annotators in corpus.events(*SPLITS).items()
        if video in videos
    }


def write_proposals(path: Path, proposals: Mapping[str, Sequence[Proposal]], external: dict[str, Any]) -> None:
    """Write proposals by video, in time order.

    Args:
        path: the file.
        proposals: by video.
        external: statement on external data, see `external_data_statement`.
    """
    results = {
        video: [{"segment": [proposal.start, proposal.end], "score": proposal.score} for proposal in sorted(of_video)]
        for video, of_video in sorted(proposals.items())
    }
    write_json(path, {"version": VERSION, "results": results, "external_data": external})


def read_proposals(path: Path) -> dict[str, list[Proposal]]:
    """Read proposals by video, in time order.

    Raises:
        PipelineError: the file is absent or malformed; names the video.
    """
    return {
        video: sorted(_parse_proposal(path, video, entry) for entry in entries)
        for video, entries in read_unchecked_results(path).items()
    }


def read_unchecked_results(path: Path) -> dict[str, list[Any]]:
    """Read the entries of a proposal file by video, without checking the entries.

    Raises:
        PipelineError: the file is absent, or is not a proposal file.
    """
    data = read_json(path, "proposals")
    results = data.get("results") if isinstance(data, dict) else None
    if not isinstance(results, dict) or not all(isinstance(entries, list) for entries in results.values()):
        raise PipelineError(f'{path}: not a proposal file; expected {{"results": {{video: [...]}}}}')
    return results


def _parse_proposal(path: Path, video: str, entry: Any) -> Proposal:
    try:
        start, end = entry["segment"]
        proposal = Proposal(float(start), float(end), float(entry["score"]))
    except (KeyError, TypeError, ValueError):
        raise PipelineError(
            f'{path}: video {video}: {entry!r} is not a proposal; expected {{"segment": [start, end], "score": s}}'
        ) from None
    if not (math.isfinite(start) and math.isfinite(end) and 0 <= start <= end):
        raise PipelineError(f"{path}: video {video}: proposal from {start} to {end} s; expected 0 <= start <= end")
    return proposal


def external_data_statement(features: Sequence[Path]) -> dict[str, Any]:
    """Return ActivityNet's statement on external data, as far as the provenance of clip features is recorded.

    Args:
        features: manifests of the features that were used.

    Returns:
        `used`: true if an encoder has initial weights or an unknown origin; `details`: which ones.
    """
    details = set()
    for manifest in features:
        encoders = [origin for origin in _read_origins(manifest) if origin["stage"] == "pretrain_encoder"]
        if not encoders:
            details.add(f"clip features {manifest.parent.parent.name}, made elsewhere")
        for encoder in encoders:
            if encoder["config"]["initial_weights"] is not None:
                details.add(f"an encoder started from {Path(encoder['config']['initial_weights']).name}")
    return {"used": bool(details), "details": "; ".join(sorted(details))}


def _read_origins(output: Path) -> list[dict[str, Any]]:
    """Return the provenance records of the direct inputs of an output, as far as there are records."""
    record = record_path(output)
    if not record.is_file():
        return []
    inputs = [record_path(output.parent / name) for name in read_json(record, "provenance")["inputs"]]
    return [read_json(path, "provenance") for path in inputs if path.is_file()]
