"""Global features on disk: one vector for each video and kind of pooling, in one file that fits into memory."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from jaxtyping import Float
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from pipeline.errors import PipelineError
from pipeline.io.atomic import replacing
from pipeline.io.tables import read_table, write_table
from pipeline.provenance.manifest import read_manifest, write_manifest

ARRAYS = "globals.safetensors"
INDEX = "index.parquet"
SCHEMA = pa.schema([("video", pa.string()), ("row", pa.int64())])

Vector = Float[np.ndarray, "dim"]


def write_globals(manifest: Path, items: Iterable[tuple[str, Mapping[str, Vector]]], facts: dict[str, Any]) -> None:
    """Write the arrays, the index of their rows and, last, the manifest that vouches for them.

    Args:
        manifest: where; the payloads stand beside it.
        items: videos, each once, with the vector of each pooling.
        facts: what else the manifest is to say.

    Raises:
        PipelineError: there is no video.
    """
    rows: list[dict[str, Any]] = []
    vectors: dict[str, list[Vector]] = {}
    for row, (video, pooled) in enumerate(items):
        rows.append({"video": video, "row": row})
        for pool, vector in pooled.items():
            vectors.setdefault(pool, []).append(vector)
    if not rows:
        raise PipelineError(f"{manifest}: there are no features to pool; was every video rejected?")
    arrays = {pool: np.stack(found).astype(np.float32) for pool, found in vectors.items()}
    with replacing(manifest.parent / ARRAYS) as temporary:
        temporary.write_bytes(save(arrays))  # save_file would make the file unreadable for others
    write_table(manifest.parent / INDEX, rows, SCHEMA)
    dim = next(iter(arrays.values())).shape[1]
    described = {"videos": len(rows), "dim": dim, "pools": sorted(arrays), **facts}
    write_manifest(manifest, [manifest.parent / ARRAYS, manifest.parent / INDEX], described)


@dataclass(frozen=True)
class Globals:
    """Global features, all of them in memory.

    Attributes:
        manifest: that vouches for them.
        dim: channels.
        videos: ids, in the order of the rows.
    """

    manifest: Path
    dim: int
    videos: list[str]
    _arrays: Mapping[str, Float[np.ndarray, "videos dim"]]
    _rows: Mapping[str, int]

    @classmethod
    def open(cls, path: Path) -> "Globals":
        """Read what `path` (a manifest) vouches for.

        Raises:
            PipelineError: absent or damaged.
        """
        manifest = read_manifest(path)
        index = read_table(manifest.payload(INDEX), SCHEMA)
        payload = manifest.payload(ARRAYS)
        try:
            arrays = load_file(payload)
        except (OSError, SafetensorError) as error:
            raise PipelineError(f"{payload}: global features cannot be read ({error})") from None
        videos = [row["video"] for row in sorted(index, key=lambda row: row["row"])]
        return cls(path, manifest.facts["dim"], videos, arrays, {row["video"]: row["row"] for row in index})

    def pooled(self, pool: str) -> Float[np.ndarray, "videos dim"]:
        """The vectors of all videos, in the order of `videos`.

        Raises:
            PipelineError: they were not pooled so.
        """
        if pool not in self._arrays:
            there = ", ".join(sorted(self._arrays))
            raise PipelineError(f"{self.manifest}: holds no {pool}, only {there}; config: pool_features.pools")
        return self._arrays[pool]

    def rows(self, videos: Sequence[str], pool: str) -> Float[np.ndarray, "_ dim"]:
        """The vectors of some videos, in the order given.

        Raises:
            PipelineError: one has none, or they were not pooled so.
        """
        for video in videos:
            if video not in self._rows:
                raise PipelineError(
                    f"{self.manifest}: no global feature of video {video}; was it rejected by reencode?"
                )
        found: Float[np.ndarray, "_ dim"] = self.pooled(pool)[[self._rows[video] for video in videos]]
        return found
