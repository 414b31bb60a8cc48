"""Pooled features on disk: one vector per video and kind of pooling, in one file that fits into memory."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from pipeline.errors import PipelineError
from pipeline.io.atomic import replace_atomically
from pipeline.io.tables import read_rows, write_rows
from pipeline.provenance.manifest import read_manifest, write_manifest

ARRAYS = "video_features.safetensors"
INDEX = "index.parquet"

Vector = Float[np.ndarray, "dim"]


@dataclass(frozen=True)
class PooledIndexRow:
    """One row of `index.parquet`.

    Attributes:
        video: id.
        row: row of the arrays.
    """

    video: str
    row: int


def write_pooled(manifest: Path, items: Iterable[tuple[str, Mapping[str, Vector]]], metadata: dict[str, Any]) -> None:
    """Write the arrays, the index of their rows and, last, the manifest that lists them.

    Args:
        manifest: the manifest to write, in the folder of the other files.
        items: ids, each once, with the vector of each pooling.
        metadata: further metadata of the manifest.

    Raises:
        PipelineError: there is no video.
    """
    index: list[PooledIndexRow] = []
    vectors: dict[str, list[Vector]] = {}
    for row, (video, pooled) in enumerate(items):
        index.append(PooledIndexRow(video, row))
        for pool, vector in pooled.items():
            vectors.setdefault(pool, []).append(vector)
    if not index:
        raise PipelineError(f"{manifest}: no video has features to pool; did reencode reject all videos?")
    arrays = {pool: np.stack(rows).astype(np.float32) for pool, rows in vectors.items()}
    with replace_atomically(manifest.parent / ARRAYS) as temporary:
        temporary.write_bytes(save(arrays))  # save_file would make the file unreadable for other users
    write_rows(manifest.parent / INDEX, index, PooledIndexRow)
    dim = next(iter(arrays.values())).shape[1]
    summary = {"videos": len(index), "dim": dim, "pools": sorted(arrays), **metadata}
    write_manifest(manifest, [manifest.parent / ARRAYS, manifest.parent / INDEX], summary)


@dataclass(frozen=True)
class PooledVideoFeatures:
    """Pooled features of all videos, in memory.

    Attributes:
        manifest: their manifest.
        dim: channels.
        videos: ids in the order of the rows.
    """

    manifest: Path
    dim: int
    videos: list[str]
    _arrays: Mapping[str, Float[np.ndarray, "videos dim"]]
    _rows: Mapping[str, int]

    @classmethod
    def open(cls, path: Path) -> "PooledVideoFeatures":
        """Read the pooled features whose manifest is `path`.

        Raises:
            PipelineError: a file is absent or damaged.
        """
        manifest = read_manifest(path)
        index = read_rows(manifest.file(INDEX), PooledIndexRow)
        file = manifest.file(ARRAYS)
        try:
            arrays = load_file(file)
        except (OSError, SafetensorError) as error:
            raise PipelineError(f"{file}: pooled features cannot be read ({error})") from None
        videos = [entry.video for entry in sorted(index, key=lambda entry: entry.row)]
        return cls(path, manifest.metadata["dim"], videos, arrays, {entry.video: entry.row for entry in index})

    def vectors(self, pool: str) -> Float[np.ndarray, "videos dim"]:
        """Return the vectors of all videos, in the order of `videos`.

        Raises:
            PipelineError: this kind of pooling was not stored.
        """
        if pool not in self._arrays:
            stored = ", ".join(sorted(self._arrays))
            raise PipelineError(f"{self.manifest}: holds no {pool}, only {stored}; config: pool_features.pools")
        return self._arrays[pool]

    def vectors_of(self, videos: Sequence[str], pool: str) -> Float[np.ndarray, "_ dim"]:
        """Return the vectors of the given videos, in their order.

        Raises:
            PipelineError: a video has no features, or this kind of pooling was not stored.
        """
        for video in videos:
            if video not in self._rows:
                raise PipelineError(
                    f"{self.manifest}: no pooled feature of video {video}; was it rejected by reencode?"
                )
        vectors: Float[np.ndarray, "_ dim"] = self.vectors(pool)[[self._rows[video] for video in videos]]
        return vectors
