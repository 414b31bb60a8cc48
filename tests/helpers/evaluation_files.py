"""Corpora and shards of a few rows, for the tests of what comes after them."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.datasets.corpus import CAPTIONS, REJECTS, SEGMENTS, VIDEOS
from pipeline.io.tables import write_table
from pipeline.provenance.manifest import write_manifest
from pipeline.video.shard import REENCODED

Spoken = tuple[float, float, str]
"""Start and end in seconds, and a sentence."""

TRUTH: dict[str, list[Spoken]] = {
    f"v_{number}": [(0.0, 10.0, f"Two {colour} rings bounce up and down."), (12.0, 20.0, f"A {colour} box falls.")]
    for number, colour in enumerate(["red", "blue", "green", "white"])
}
"""What is right to say of four videos."""
VAGUE: dict[str, list[Spoken]] = {
    video: [(start, end, "Two rings bounce.") for start, end, _ in events] for video, events in TRUTH.items()
}
"""What scores less on them."""


def write_corpus(
    folder: Path,
    videos: Sequence[tuple[str, str, bool]],
    references: Mapping[str, Mapping[str, Sequence[Spoken]]] | None = None,
    *,
    duration: float | None = 30.0,
    rejects: Sequence[tuple[str, str]] = (),
    shards: int = 1,
) -> Path:
    """Write a corpus.

    Args:
        folder: where.
        videos: id, split, and whether its file is there.
        references: `{split}_{annotator}` -> video -> events.
        duration: annotated for every video, seconds.
        rejects: video and reason.
        shards: number of shards.

    Returns:
        The manifest.
    """
    rows = [
        {"video": video, "split": split, "shard": 0, "path": f"{video}.mp4" if there else None, "duration": duration}
        for video, split, there in videos
    ]
    lost = [{"video": video, "source": "test", "reason": reason, "detail": ""} for video, reason in rejects]
    tables = {
        "videos": (rows, VIDEOS),
        "segments": ([], SEGMENTS),
        "captions": ([], CAPTIONS),
        "rejects": (lost, REJECTS),
    }
    payloads = []
    for name, (content, schema) in tables.items():
        write_table(folder / f"{name}.parquet", content, schema)
        payloads.append(folder / f"{name}.parquet")
    for name, known in (references or {}).items():
        payloads.append(write_references(folder / "references" / f"{name}.json", known))
    manifest = folder / "manifest.json"
    write_manifest(manifest, payloads, {"shards": shards, "counts": {"videos": len(rows)}})
    return manifest


def write_references(path: Path, known: Mapping[str, Sequence[Spoken]]) -> Path:
    """Write references in ActivityNet Captions' format."""
    path.parent.mkdir(parents=True, exist_ok=True)
    plain = {
        video: {
            "duration": 30.0,
            "timestamps": [[start, end] for start, end, _ in events],
            "sentences": [sentence for *_, sentence in events],
        }
        for video, events in known.items()
    }
    path.write_text(json.dumps(plain), encoding="utf-8")
    return path


def write_captions(path: Path, said: Mapping[str, Sequence[Spoken]], **other: Any) -> Path:
    """Write captions in submission format."""
    results = {
        video: [{"sentence": sentence, "timestamp": [start, end]} for start, end, sentence in events]
        for video, events in said.items()
    }
    external = {"used": False, "details": ""}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"version": "VERSION 1.3", "results": results, "external_data": external} | other))
    return path


def write_shard(
    folder: Path, number: int, rejects: Sequence[tuple[str, str]] = (), partial: Sequence[tuple[str, str]] = ()
) -> Path:
    """Write a shard of re-encoded videos that holds nothing but tables of rejects and partial videos, with reasons."""
    shard = folder / f"{number:04d}"
    lost = [{"video": video, "source": "reencode", "reason": reason, "detail": ""} for video, reason in rejects]
    size = {"frames": 60, "fps": 30.0, "width": 96, "height": 64, "audio": False}
    damaged = [
        {"video": video, **size, "partial": True, "source_s": 4.0, "reason": reason} for video, reason in partial
    ]
    write_table(shard / "videos.parquet", damaged, REENCODED)
    write_table(shard / "rejects.parquet", lost, REJECTS)
    manifest = shard / "manifest.json"
    write_manifest(manifest, [shard / "videos.parquet", shard / "rejects.parquet"], {"videos": 0})
    return manifest
