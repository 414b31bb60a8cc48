"""Write the tables of a corpus, as `build_corpus` does."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.datasets.corpus import ActionSegment, CaptionedEvent, CorpusVideo, RejectedVideo
from pipeline.io.tables import write_rows
from pipeline.provenance.manifest import write_manifest


def write_corpus_tables(
    manifest: Path,
    videos: Sequence[CorpusVideo],
    segments: Sequence[ActionSegment] = (),
    captions: Sequence[CaptionedEvent] = (),
    rejects: Sequence[RejectedVideo] = (),
    *,
    files: Sequence[Path] = (),
    metadata: Mapping[str, Any],
) -> Path:
    """Write the four tables beside the manifest, then the manifest; return the manifest's path."""
    folder = manifest.parent
    write_rows(folder / "videos.parquet", videos, CorpusVideo)
    write_rows(folder / "segments.parquet", segments, ActionSegment)
    write_rows(folder / "captions.parquet", captions, CaptionedEvent)
    write_rows(folder / "rejects.parquet", rejects, RejectedVideo)
    write_manifest(manifest, [*sorted(folder.glob("*.parquet")), *files], dict(metadata))
    return manifest
