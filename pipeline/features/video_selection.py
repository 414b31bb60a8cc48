"""Which videos imported features are wanted of."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import PipelineError
from pipeline.features.store import MANIFEST
from pipeline.io.tables import read_columns
from pipeline.provenance.manifest import read_manifest


@dataclass(frozen=True)
class Wanted:
    """Videos that features are wanted of, by shard: id -> duration in seconds, or None where nobody says."""

    shards: Mapping[str, Mapping[str, float | None]]

    @classmethod
    def of_corpus(cls, manifest: Path) -> "Wanted":
        """All videos of a corpus, in its shards, as long as they are annotated to be."""
        found = read_manifest(manifest)
        shards: dict[str, dict[str, float | None]] = {f"{shard:04d}": {} for shard in range(found.facts["shards"])}
        for row in read_columns(found.payload("videos.parquet"), ["video", "shard", "duration"]):
            shards[f"{row['shard']:04d}"][row["video"]] = row["duration"]
        return cls(shards)

    @classmethod
    def of_videos(cls, folder: Path) -> "Wanted":
        """The re-encoded videos of `results/{dataset}/video`, as long as they were measured to be.

        Raises:
            PipelineError: there are no shards.
        """
        manifests = sorted(folder.glob(f"[0-9]*/{MANIFEST}"))
        if not manifests:
            raise PipelineError(f"{folder}: no shards of videos there (0000/{MANIFEST}, ...)")
        tables = {
            manifest.parent.name: read_columns(
                read_manifest(manifest).payload("videos.parquet"), ["video", "frames", "fps"]
            )
            for manifest in manifests
        }
        return cls(
            {shard: {row["video"]: row["frames"] / row["fps"] for row in rows} for shard, rows in tables.items()}
        )

    def all(self) -> dict[str, float | None]:
        """The videos of all shards."""
        return {video: duration for videos in self.shards.values() for video, duration in videos.items()}
