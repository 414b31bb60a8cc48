"""Proposals: stretches of a video that may be events, and the ActivityNet file they travel in."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.errors import PipelineError
from pipeline.io.atomic import read_json, write_json
from pipeline.provenance.record import beside

VERSION = "VERSION 1.3"


@dataclass(frozen=True, order=True)
class Proposal:
    """One proposal; ordered by time.

    Attributes:
        start: seconds.
        end: seconds.
        score: the more likely an event, the higher; learned ones lie in [0, 1], those of a file wherever it has them.
    """

    start: float
    end: float
    score: float


def write_proposals(path: Path, proposals: Mapping[str, Sequence[Proposal]], external: dict[str, Any]) -> None:
    """Write proposals by video, those of a video in time order.

    Args:
        path: where.
        proposals: by video.
        external: see `external_data`.
    """
    results = {
        video: [{"segment": [one.start, one.end], "score": one.score} for one in sorted(found)]
        for video, found in sorted(proposals.items())
    }
    write_json(path, {"version": VERSION, "results": results, "external_data": external})


def read_proposals(path: Path) -> dict[str, list[Proposal]]:
    """Read proposals by video, those of a video in time order.

    Raises:
        PipelineError: absent or malformed; names the video.
    """
    return {
        video: sorted(_proposal(path, video, entry) for entry in found) for video, found in read_results(path).items()
    }


def read_results(path: Path) -> dict[str, list[Any]]:
    """What a file of proposals holds by video, each entry as it stands.

    Raises:
        PipelineError: absent, or not proposals.
    """
    data = read_json(path, "proposals")
    results = data.get("results") if isinstance(data, dict) else None
    if not isinstance(results, dict) or not all(isinstance(found, list) for found in results.values()):
        raise PipelineError(f'{path}: not proposals (expected {{"results": {{video: [...]}}}})')
    return results


def _proposal(path: Path, video: str, entry: Any) -> Proposal:
    try:
        start, end = entry["segment"]
        proposal = Proposal(float(start), float(end), float(entry["score"]))
    except (KeyError, TypeError, ValueError):
        raise PipelineError(
            f'{path}: video {video}: {entry!r} is no proposal (expected {{"segment": [start, end], "score": s}})'
        ) from None
    if not (math.isfinite(start) and math.isfinite(end) and 0 <= start <= end):
        raise PipelineError(f"{path}: video {video}: a proposal from {start} to {end} s; times run from 0 upwards")
    return proposal


def external_data(features: Sequence[Path]) -> dict[str, Any]:
    """ActivityNet's statement on external data, as far as clip features know their origin.

    Args:
        features: manifests of the features that were used.

    Returns:
        `used`, true if an encoder started from given weights or is not known; `details`, which.
    """
    details = set()
    for manifest in features:
        encoders = [made for made in _origins(manifest) if made["stage"] == "pretrain_encoder"]
        if not encoders:
            details.add(f"clip features {manifest.parent.parent.name}, made elsewhere")
        for made in encoders:
            if made["config"]["initial_weights"] is not None:
                details.add(f"an encoder started from {Path(made['config']['initial_weights']).name}")
    return {"used": bool(details), "details": "; ".join(sorted(details))}


def _origins(output: Path) -> list[dict[str, Any]]:
    """Provenance of what an output was directly made from, as far as it has any."""
    record = beside(output)
    if not record.is_file():
        return []
    inputs = [beside(output.parent / name) for name in read_json(record, "provenance")["inputs"]]
    return [read_json(path, "provenance") for path in inputs if path.is_file()]
