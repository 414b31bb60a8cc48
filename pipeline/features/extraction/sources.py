"""The videos to extract features from (re-encoded shards, folders, files), and the sha256 of their files."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.datasets.video_files import list_folder
from pipeline.datasets.video_ids import check_id
from pipeline.errors import PipelineError
from pipeline.io.atomic import sha256
from pipeline.provenance.manifest import read_manifest
from pipeline.video.shard import ReencodedVideo, ReencodedVideos


@dataclass(frozen=True)
class VideoSource:
    """One video.

    Attributes:
        video: id.
        path: the file.
        reencoded: the video in its re-encoded shard; None for a raw video, of which nothing is known yet.
        sha256: of the file, as the shard's manifest states it; None for a raw video.
    """

    video: str
    path: Path
    reencoded: ReencodedVideo | None = None
    sha256: str | None = None


def find_sources(paths: Sequence[Path]) -> list[VideoSource]:
    """Find the videos of files, folders and manifests of re-encoded shards (`.json`), sorted by id.

    Of a folder the files directly in it count, not those of its subfolders; what is passed over is logged. A broken
    link counts as a video that cannot be read.

    Raises:
        PipelineError: a path does not exist, there is no video at all, or two videos have the same id.
    """
    sources: dict[str, VideoSource] = {}
    for path in paths:
        for source in _sources_of(path):
            check_id(source.video, source.path)
            if source.video in sources:
                raise PipelineError(
                    f"{source.path} and {sources[source.video].path}: same name up to the suffix; rename one"
                )
            sources[source.video] = source
    if not sources and not any(path.suffix == ".json" for path in paths):  # a shard may be empty
        raise PipelineError(f"{' '.join(str(path) for path in paths)}: no video found")
    return [sources[video] for video in sorted(sources)]


def num_shards(paths: Sequence[Path]) -> int | None:
    """Return the number of shards that the features of these videos have in all; None if it is not known.

    It is 1 for raw videos, and for re-encoded shards what their manifests state.
    """
    counts = {read_manifest(path).metadata.get("shards") for path in paths if path.suffix == ".json"}
    if not counts:
        return 1
    return counts.pop() if len(counts) == 1 else None


def _sources_of(path: Path) -> Iterable[VideoSource]:
    if path.is_dir():
        return _sources_in_folder(path)
    if path.suffix == ".json":
        # Check the sha256 now: every file is read anyway, and a decoder may miss a flipped bit.
        files, videos = read_manifest(path).files, ReencodedVideos.read([path], check=True).by_id.values()
        return [VideoSource(video.video, video.path, video, files[video.path.name]["sha256"]) for video in videos]
    if not path.is_file():
        raise PipelineError(f"{path}: no such file or folder")
    return [VideoSource(path.stem, path)]


def _sources_in_folder(folder: Path) -> list[VideoSource]:
    """Return the videos of a folder; log what else is there."""
    listing = list_folder(folder)
    listing.log_passed_over()
    links = [VideoSource(path.stem, path) for path in map(folder.joinpath, listing.broken_links)]
    return [VideoSource(video, file) for video, file in listing.by_stem().items()] + links


class FileHashes:
    """sha256 of files. Each file is read once per run, however many features are made from it."""

    def __init__(self) -> None:
        self._hashes: dict[Path, str | OSError] = {}

    def of_video(self, source: VideoSource) -> str | None:
        """Return the sha256 of a video's file; None if the file cannot be read (see `read_error`)."""
        if source.sha256 is not None:
            return source.sha256
        digest = self._hash(source.path)
        return digest if isinstance(digest, str) else None

    def of_file(self, path: Path) -> str:
        """Return the sha256 of any other file.

        Raises:
            OSError: the file cannot be read.
        """
        digest = self._hash(path)
        if isinstance(digest, OSError):
            raise digest
        return digest

    def read_error(self, source: VideoSource) -> str:
        """Return why a video's file cannot be read; empty if it can."""
        digest = "" if source.sha256 is not None else self._hash(source.path)
        return f"{source.path}: {digest.strerror or digest}" if isinstance(digest, OSError) else ""

    def _hash(self, path: Path) -> str | OSError:
        if path not in self._hashes:
            try:
                self._hashes[path] = sha256(path)
            except OSError as error:
                self._hashes[path] = error
        return self._hashes[path]
