"""The corpus: one schema for every dataset, and the reader that later stages use.

Times are seconds from the start of the video. Video ids are plain file names: those of ActivityNet Captions (`v_` and
eleven characters) or those of the user's own files.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated

import pyarrow as pa

from pipeline.datasets.video_ids import check_id
from pipeline.errors import PipelineError
from pipeline.io.tables import read_columns, read_rows
from pipeline.provenance.manifest import Manifest, read_manifest
from pipeline.video.shard import shard_manifest

SPLITS = ("train", "enlarged", "val", "test", "submission")
"""`train` is the official training set; `enlarged`, `val` and `test` divide the official validation set; `submission`
is the official test set, which has no public references. Clips have official splits `val` and `test`."""


@dataclass(frozen=True)
class CorpusVideo:
    """One row of `videos.parquet`.

    Attributes:
        video: id.
        split: one of `SPLITS`.
        shard: number of the shard, from 0.
        path: the video file; None if it is missing.
        duration: as annotated, seconds; None if no annotation states it.
    """

    video: str
    split: str
    shard: Annotated[int, pa.int32()]
    path: str | None
    duration: float | None


@dataclass(frozen=True)
class ActionSegment:
    """One row of `segments.parquet`.

    Attributes:
        video: id.
        start: seconds.
        end: seconds.
        label: action class; None for background that the annotations state.
    """

    video: str
    start: float
    end: float
    label: str | None


@dataclass(frozen=True)
class CaptionedEvent:
    """One row of `captions.parquet`.

    Attributes:
        video: id.
        annotator: from 1.
        start: seconds.
        end: seconds.
        sentence: with single spaces, not empty.
    """

    video: str
    annotator: Annotated[int, pa.int32()]
    start: float
    end: float
    sentence: str


@dataclass(frozen=True)
class RejectedVideo:
    """One row of a `rejects.parquet`: a video, or an annotation of it, that was left out.

    Attributes:
        video: id.
        source: the stage, or the file with the annotation.
        reason: code of the reason.
        detail: what exactly is wrong.
    """

    video: str
    source: str
    reason: str
    detail: str


@dataclass(frozen=True)
class PartialVideo:
    """What the final result states of one row of a shard's `videos.parquet`.

    Attributes:
        video: id.
        partial: whether the source is damaged and only the part before the first error was kept.
        reason: code of the damage; None if the source is whole.
    """

    video: str
    partial: bool
    reason: str | None


@dataclass(frozen=True)
class Corpus:
    """The tables below `results/{dataset}/corpus/`, read at first use."""

    manifest: Manifest

    @classmethod
    def open(cls, path: Path) -> "Corpus":
        """Open the corpus whose manifest is `path`."""
        return cls(read_manifest(path))

    @property
    def num_shards(self) -> int:
        """Number of shards."""
        return int(self.manifest.metadata["shards"])

    @cached_property
    def videos(self) -> list[CorpusVideo]:
        """All videos, sorted by id; those whose file is missing have no `path`."""
        path = self.manifest.file("videos.parquet")
        videos = read_rows(path, CorpusVideo)
        for row in videos:
            check_id(row.video, path)
        return videos

    @cached_property
    def segments(self) -> list[ActionSegment]:
        """Action segments, and background segments if the annotations state the background."""
        return read_rows(self.manifest.file("segments.parquet"), ActionSegment)

    @cached_property
    def captions(self) -> list[CaptionedEvent]:
        """Events with their sentences, of all annotators."""
        return read_rows(self.manifest.file("captions.parquet"), CaptionedEvent)

    @cached_property
    def rejects(self) -> list[RejectedVideo]:
        """Videos and annotations that `build_corpus` left out."""
        return read_rows(self.manifest.file("rejects.parquet"), RejectedVideo)

    @property
    def has_annotated_background(self) -> bool:
        """Whether the annotations state the background; if not, background is what lies between actions."""
        return self.manifest.metadata.get("background") == "given"

    @property
    def labels(self) -> list[str]:
        """Action classes by index: those of the label map, or without one all classes that occur, sorted."""
        label_map: list[str] | None = self.manifest.metadata.get("labels")
        return label_map or sorted({segment.label for segment in self.segments if segment.label is not None})

    def videos_of_splits(self, *splits: str) -> list[CorpusVideo]:
        """Return the videos of the given splits that have a file.

        Raises:
            PipelineError: a split that does not exist.
        """
        for split in splits:
            if split not in SPLITS:
                raise PipelineError(f"no split {split!r}; the splits are {', '.join(SPLITS)}")
        return [row for row in self.videos if row.split in splits and row.path is not None]

    def events(self, *splits: str) -> dict[str, dict[int, list[CaptionedEvent]]]:
        """Return the captioned events of the given splits by video and annotator, videos in the order of the table."""
        videos = {row.video for row in self.videos if row.split in splits}
        events: dict[str, dict[int, list[CaptionedEvent]]] = {}
        for event in self.captions:
            if event.video in videos:
                events.setdefault(event.video, {}).setdefault(event.annotator, []).append(event)
        return events

    def reencoding_rejects(self, videos: Path) -> list[RejectedVideo]:
        """Return the videos that `reencode` rejected.

        Args:
            videos: folder of the re-encoded shards.
        """
        return [row for path in self._shard_tables(videos, "rejects.parquet") for row in read_rows(path, RejectedVideo)]

    def partial_videos(self, videos: Path) -> list[PartialVideo]:
        """Return the damaged videos of which `reencode` kept the part before the first error.

        Args:
            videos: folder of the re-encoded shards.
        """
        tables = self._shard_tables(videos, "videos.parquet")
        return [row for path in tables for row in read_columns(path, PartialVideo) if row.partial]

    def _shard_tables(self, videos: Path, name: str) -> list[Path]:
        return [read_manifest(shard_manifest(videos, shard)).file(name) for shard in range(self.num_shards)]

    def references(self, split: str) -> list[Path]:
        """Return the reference files of a split in ActivityNet Captions' format, one per annotator."""
        names = sorted(name for name in self.manifest.files if name.startswith(f"references/{split}_"))
        return [self.manifest.file(name) for name in names]
