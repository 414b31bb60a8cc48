"""Small corpora, shards, reference files and caption files, for the tests of the stages that read them."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from helpers.corpus_tables import write_corpus_tables
from pipeline.datasets.corpus import CorpusVideo, RejectedVideo
from pipeline.io.tables import write_rows
from pipeline.provenance.manifest import write_manifest
from pipeline.video.shard import ReencodedRow

Event = tuple[float, float, str]
"""Start [s], end [s], sentence."""

TRUTH: dict[str, list[Event]] = {
    f"v_{number}": [(0.0, 10.0, f"Two {colour} rings bounce up and down."), (12.0, 20.0, f"A {colour} box falls.")]
    for number, colour in enumerate(["red", "blue", "green", "white"])
}
"""Captions of four videos that equal the references."""
VAGUE: dict[str, list[Event]] = {
    video: [(start, end, "Two rings bounce.") for start, end, _ in events] for video, events in TRUTH.items()
}
"""Captions of the same videos that score less."""


def write_corpus(
    folder: Path,
    videos: Sequence[tuple[str, str, bool]],
    references: Mapping[str, Mapping[str, Sequence[Event]]] | None = None,
    *,
    duration: float | None = 30.0,
    rejects: Sequence[tuple[str, str]] = (),
    shards: int = 1,
) -> Path:
    """Write a corpus.

    Args:
        folder: folder of the corpus.
        videos: id, split, and whether the video has a file.
        references: `{split}_{annotator}` -> video -> events.
        duration: annotated duration of every video [s].
        rejects: video and reason.
        shards: number of shards.

    Returns:
        The manifest.
    """
    rows = [
        CorpusVideo(video, split, 0, f"{video}.mp4" if has_file else None, duration)
        for video, split, has_file in videos
    ]
    lost = [RejectedVideo(video, "test", reason, "") for video, reason in rejects]
    files = [
        write_references(folder / "references" / f"{name}.json", annotator)
        for name, annotator in (references or {}).items()
    ]
    metadata = {"shards": shards, "counts": {"videos": len(rows)}}
    return write_corpus_tables(folder / "manifest.json", rows, rejects=lost, files=files, metadata=metadata)


def write_references(path: Path, references: Mapping[str, Sequence[Event]]) -> Path:
    """Write references in ActivityNet Captions' format."""
    path.parent.mkdir(parents=True, exist_ok=True)
    plain = {
        video: {
            "duration": 30.0,
            "timestamps": [[start, end] for start, end, _ in events],
            "sentences": [sentence for *_, sentence in events],
        }
        for video, events in references.items()
    }
    path.write_text(json.dumps(plain), encoding="utf-8")
    return path


def write_captions(path: Path, captions: Mapping[str, Sequence[Event]], **other: Any) -> Path:
    """Write captions in submission format.

    Args:
        path: the file.
        captions: captions of each video.
        other: other top-level keys.
    """
    results = {
        video: [{"sentence": sentence, "timestamp": [start, end]} for start, end, sentence in events]
        for video, events in captions.items()
    }
    external = {"used": False, "details": ""}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"version": "VERSION 1.3", "results": results, "external_data": external} | other))
    return path


def write_shard(
    folder: Path, number: int, rejects: Sequence[tuple[str, str]] = (), partial: Sequence[tuple[str, str]] = ()
) -> Path:
    """Write a shard of re-encoded videos whose tables have only rejected and partial videos, with reasons."""
    shard = folder / f"{number:04d}"
    lost = [RejectedVideo(video, "reencode", reason, "") for video, reason in rejects]
    damaged = [ReencodedRow(video, 60, 30.0, 96, 64, False, True, 4.0, reason) for video, reason in partial]
    write_rows(shard / "videos.parquet", damaged, ReencodedRow)
    write_rows(shard / "rejects.parquet", lost, RejectedVideo)
    manifest = shard / "manifest.json"
    write_manifest(manifest, [shard / "videos.parquet", shard / "rejects.parquet"], {"videos": 0})
    return manifest
