"""The videos that features are wanted of: re-encoded shards, folders, or files as they are."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.config.errors import PipelineError
from pipeline.datasets.gather import find_videos
from pipeline.store.ids import check_id
from pipeline.video.shard import VideoRow, Videos


@dataclass(frozen=True)
class Source:
    """One video.

    Attributes:
        video: id.
        path: the file.
        row: what re-encoding says of it; None of a raw video, about which nothing is known before it is read.
    """

    video: str
    path: Path
    row: VideoRow | None = None


def find_sources(paths: Sequence[Path]) -> list[Source]:
    """The videos of some files, folders, and manifests of re-encoded shards (`.json`), in the order of their ids.

    Raises:
        PipelineError: one is not there, there is none at all, or two have the same id.
    """
    found: dict[str, Source] = {}
    for path in paths:
        for source in _below(path):
            check_id(source.video, source.path)
            if source.video in found:
                raise PipelineError(
                    f"{source.path}: {found[source.video].path} has the same name up to the suffix; rename one"
                )
            found[source.video] = source
    if not found and not any(path.suffix == ".json" for path in paths):  # a shard may be empty
        raise PipelineError(f"--videos {' '.join(str(path) for path in paths)}: no videos there")
    return [found[video] for video in sorted(found)]


def _below(path: Path) -> Iterable[Source]:
    if path.is_dir():
        return [Source(video, file) for video, file in find_videos(path).items()]
    if path.suffix == ".json":
        # Each is read from end to end anyway: a flipped bit is found now, which a decoder may pass over.
        return [Source(row.video, row.path, row) for row in Videos.read([path], check=True).rows.values()]
    if not path.is_file():
        raise PipelineError(f"--videos {path}: no such file or folder")
    return [Source(path.stem, path)]
