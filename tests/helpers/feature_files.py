"""Small features on disk, for tests of what reads them."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.features.combined import ClipGrid, write_features
from pipeline.io.atomic import sha256

GRID = ClipGrid(fps=15.0, frames=16, stride=16)
DIM = 5


def made(clips: int, seed: int = 0, dim: int = DIM) -> np.ndarray:
    """Features of one video."""
    return np.random.default_rng(seed).normal(size=(clips, dim)).astype(np.float32)


def shard(
    folder: Path,
    videos: Mapping[str, np.ndarray | str],
    number: int = 0,
    name: str = "rgb",
    grid: ClipGrid = GRID,
    duration: float | None = None,
    **facts: Any,
) -> Path:
    """Write a shard of the feature `name`; videos last half a second longer than their rows, or `duration`."""
    manifest = folder / name / f"{number:04d}" / "manifest.json"
    items = []
    dim = DIM
    for video, rows in videos.items():
        seconds = 3.0 if isinstance(rows, str) else 0.5 + grid.duration(len(rows))
        dim = dim if isinstance(rows, str) else rows.shape[1]
        items.append((video, seconds if duration is None else duration, rows))
    write_features(manifest, items, dim=dim, grid=grid, facts={"encoder": "tiny", **facts})
    return manifest


def vouch(manifest: Path, name: str) -> None:
    """Have a manifest describe a payload as it is now."""
    table, payload = json.loads(manifest.read_text()), manifest.parent / name
    table["payloads"][name] = {"bytes": payload.stat().st_size, "sha256": sha256(payload)}
    manifest.write_text(json.dumps(table))
