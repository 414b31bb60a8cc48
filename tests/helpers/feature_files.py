"""Small feature shards on disk, for tests of their readers."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.features.shard import write_shard
from pipeline.features.time_grid import ClipGrid
from pipeline.io.atomic import sha256

GRID = ClipGrid(fps=15.0, frames=16, stride=16)
DIM = 5


def random_features(num_rows: int, seed: int = 0, dim: int = DIM) -> np.ndarray:
    """Return random features [num_rows, dim] of one video."""
    return np.random.default_rng(seed).normal(size=(num_rows, dim)).astype(np.float32)


def write_feature_shard(
    folder: Path,
    videos: Mapping[str, np.ndarray | str],
    number: int = 0,
    name: str = "rgb",
    grid: ClipGrid = GRID,
    duration: float | None = None,
    **metadata: Any,
) -> Path:
    """Write a shard of the feature `name`; videos last `duration` (seconds), or 0.5 s longer than their rows."""
    manifest = folder / name / f"{number:04d}" / "manifest.json"
    items = []
    dim = DIM
    for video, rows in videos.items():
        dim = dim if isinstance(rows, str) else rows.shape[1]
        seconds = duration
        if seconds is None:
            seconds = 3.0 if isinstance(rows, str) else 0.5 + grid.duration(len(rows))
        items.append((video, seconds, rows))
    write_shard(manifest, items, dim=dim, grid=grid, metadata={"encoder": "tiny", **metadata})
    return manifest


def update_manifest(manifest: Path, name: str) -> None:
    """Write the present size and sha256 of a file into a manifest."""
    content, file = json.loads(manifest.read_text()), manifest.parent / name
    content["files"][name] = {"bytes": file.stat().st_size, "sha256": sha256(file)}
    manifest.write_text(json.dumps(content))
