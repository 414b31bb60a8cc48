"""The videos that features are wanted of: re-encoded shards, folders, or files as they are."""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.datasets.assemble import SIDECARS, find_videos
from pipeline.datasets.video_ids import check_id
from pipeline.errors import PipelineError
from pipeline.provenance.manifest import read_manifest
from pipeline.video.shard import VideoRow, Videos


@dataclass(frozen=True)
class Source:
    """One video.

    Attributes:
        video: id.
        path: the file.
        row: what re-encoding says of it; None of a raw video, about which nothing is known before it is read.
        sha256: of the file, as the shard's manifest says; None of a raw video.
    """

    video: str
    path: Path
    row: VideoRow | None = None
    sha256: str | None = None


SHOWN = 3
"""How many names of what is passed over are told."""


def find_sources(paths: Sequence[Path]) -> list[Source]:
    """The videos of some files, folders, and manifests of re-encoded shards (`.json`), in the order of their ids.

    Of a folder these are the files that stand in it, not those of folders below; what is passed over is told. A link
    that leads nowhere is a video that cannot be read.

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


def shards_of(paths: Sequence[Path]) -> int | None:
    """How many shards there are of what stands behind some paths: of raw videos one; None where nobody knows."""
    found = {read_manifest(path).facts.get("shards") for path in paths if path.suffix == ".json"}
    return found.pop() if len(found) == 1 else None if found else 1


def _below(path: Path) -> Iterable[Source]:
    if path.is_dir():
        return _inside(path)
    if path.suffix == ".json":
        # Each is read from end to end anyway: a flipped bit is found now, which a decoder may pass over.
        payloads, rows = read_manifest(path).payloads, Videos.read([path], check=True).rows.values()
        return [Source(row.video, row.path, row, payloads[row.path.name]["sha256"]) for row in rows]
    if not path.is_file():
        raise PipelineError(f"--videos {path}: no such file or folder")
    return [Source(path.stem, path)]


def _inside(folder: Path) -> list[Source]:
    """The videos of a folder; tells what else there is."""
    found = [Source(video, file) for video, file in find_videos(folder).items()]
    taken = {source.path for source in found}
    passed: dict[str, list[str]] = {}
    for path in sorted(set(folder.iterdir()) - taken):
        if path.is_dir():
            kind = "folders, whose videos are not looked for (name them too)"
        elif path.name.startswith(".") or path.suffix.lower() in SIDECARS:
            kind = "hidden files and such as stand beside videos"
        elif path.exists():
            kind = "things that are no files"
        else:
            found.append(Source(path.stem, path))
            continue
        passed.setdefault(kind, []).append(path.name)
    for kind, names in passed.items():
        more = ", ..." if len(names) > SHOWN else ""
        logging.warning("%s: passed over %d %s: %s%s", folder, len(names), kind, ", ".join(names[:SHOWN]), more)
    return found
