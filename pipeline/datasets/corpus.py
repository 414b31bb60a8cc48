"""The corpus: one schema for every dataset, and the reader that later stages use.

Times are seconds from the start of the video. Video ids are plain file names, as ActivityNet Captions writes them
(`v_` and eleven characters) or as the user names their own files.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipeline.datasets.video_ids import check_id
from pipeline.errors import PipelineError
from pipeline.io.tables import read_table
from pipeline.provenance.manifest import Manifest, read_manifest
from pipeline.video.shard import REENCODED, shard_manifest

SPLITS = ("train", "enlarged", "val", "test", "submission")
"""`train` is the official training set; `enlarged`, `val` and `test` divide the official validation set; `submission`
is the official test set, which has no public references."""

VIDEOS = pa.schema(
    [
        ("video", pa.string()),
        ("split", pa.string()),
        ("shard", pa.int32()),
        ("path", pa.string()),  # null where the file is missing
        ("duration", pa.float64()),  # as annotated; null where nobody says
    ]
)
SEGMENTS = pa.schema(
    [
        ("video", pa.string()),
        ("start", pa.float64()),
        ("end", pa.float64()),
        ("label", pa.string()),  # null: background, as the annotations state it
    ]
)
CAPTIONS = pa.schema(
    [
        ("video", pa.string()),
        ("annotator", pa.int32()),  # 1 or 2
        ("start", pa.float64()),
        ("end", pa.float64()),
        ("sentence", pa.string()),
    ]
)
REJECTS = pa.schema([("video", pa.string()), ("source", pa.string()), ("reason", pa.string()), ("detail", pa.string())])


@dataclass(frozen=True)
class Corpus:
    """The tables below `results/{dataset}/corpus/`, read when asked for."""

    manifest: Manifest

    @classmethod
    def open(cls, path: Path) -> "Corpus":
        """Open the corpus that `path` (its manifest) vouches for."""
        return cls(read_manifest(path))

    @cached_property
    def videos(self) -> list[dict[str, Any]]:
        """Rows of `VIDEOS`, sorted by id: all videos, those whose file is missing too (`path` is None)."""
        path = self.manifest.payload("videos.parquet")
        rows = read_table(path, VIDEOS)
        for row in rows:
            check_id(row["video"], path)
        return rows

    @cached_property
    def segments(self) -> list[dict[str, Any]]:
        """Rows of `SEGMENTS`: action segments, and background where the annotations state it."""
        return read_table(self.manifest.payload("segments.parquet"), SEGMENTS)

    @property
    def background_given(self) -> bool:
        """Whether the annotations state the background; otherwise it is what lies between actions."""
        return self.manifest.facts.get("background") == "given"

    @property
    def labels(self) -> list[str]:
        """Action classes in the order of their numbers: those of the label map; without one, all that occur, sorted."""
        mapped: list[str] | None = self.manifest.facts.get("labels")
        return mapped or sorted({row["label"] for row in self.segments if row["label"] is not None})

    @cached_property
    def captions(self) -> list[dict[str, Any]]:
        """Rows of `CAPTIONS`: the events and their sentences."""
        return read_table(self.manifest.payload("captions.parquet"), CAPTIONS)

    def of_splits(self, *splits: str) -> list[dict[str, Any]]:
        """Rows of `videos` in the given splits whose file is there.

        Raises:
            PipelineError: a split that does not exist.
        """
        for split in splits:
            if split not in SPLITS:
                raise PipelineError(f"no such split: {split}; there are {', '.join(SPLITS)}")
        return [row for row in self.videos if row["split"] in splits and row["path"] is not None]

    def rejected(self, videos: Path) -> list[dict[str, Any]]:
        """Rows of `REJECTS`: the videos that re-encoding left out.

        Args:
            videos: folder of the re-encoded shards.
        """
        return self._of_shards(videos, "rejects.parquet", REJECTS)

    def partial(self, videos: Path) -> list[dict[str, Any]]:
        """Rows of `REENCODED`: the videos of which re-encoding kept only what comes before the first error.

        Args:
            videos: folder of the re-encoded shards.
        """
        return [row for row in self._of_shards(videos, "videos.parquet", REENCODED) if row["partial"]]

    def _of_shards(self, videos: Path, table: str, schema: pa.Schema) -> list[dict[str, Any]]:
        manifests = (read_manifest(shard_manifest(videos, shard)) for shard in range(self.manifest.facts["shards"]))
        return [row for manifest in manifests for row in read_table(manifest.payload(table), schema)]

    def references(self, split: str) -> list[Path]:
        """Reference files of a split in ActivityNet Captions' own format, one per annotator, times as annotated."""
        return [
            self.manifest.payload(name)
            for name in sorted(self.manifest.payloads)
            if name.startswith(f"references/{split}_")
        ]
