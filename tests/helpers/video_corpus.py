"""A small corpus with re-encoded videos in which the picture tells what is annotated, for the encoder's tests."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np

from pipeline.datasets.corpus import CAPTIONS, REJECTS, SEGMENTS, VIDEOS
from pipeline.io.tables import write_table
from pipeline.provenance.manifest import write_manifest
from pipeline.video.shard import REENCODED

FPS = 30
SIZE = (24, 32)
"""Height and width, pixels."""
SECONDS = 6.0
ACTIONS = {"glow red": (200, 40, 40), "glow blue": (40, 40, 200)}
GREY = (110, 110, 110)
CLIP = {"frames": 4, "fps": 7.5, "height": 24, "width": 32, "crop": 16}

SMALL = {
    "architecture": "r2plus1d_narrow",
    "clip": CLIP,
    "freeze_stem": False,
    "initial_weights": None,
    "background_gap": 0.6,
    "clips_per_segment": 2,
    "batch_size": 8,
    "epochs": 3,
    "backbone_lr": 0.01,
    "head_lr": [0.05],
    "warmup_epochs": 0.5,
    "workers": 0,
    "device": "cpu",
}
"""A pretraining of seconds."""


@dataclass(frozen=True)
class Filmed:
    """Where the parts of the corpus stand."""

    corpus: Path
    videos: Path
    concepts: Path


def shoot(path: Path, frames: Sequence[np.ndarray], *, fps: int = FPS, gop: int = 250) -> Path:
    """Write frames (height, width, 3; even sizes) as a constant-rate H.264 file, nearly lossless."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=fps, options={"crf": "4", "preset": "ultrafast", "g": str(gop)})
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode(None))
    return path


def counting(frames: int, size: tuple[int, int] = SIZE) -> list[np.ndarray]:
    """Frames whose brightness tells their number: frame i is 2 i + 20, up to 100 frames."""
    return [np.full((*size, 3), 20 + 2 * i, dtype=np.uint8) for i in range(frames)]


def write_videos(folder: Path, films: Mapping[str, Sequence[np.ndarray]]) -> Path:
    """Write a shard of re-encoded videos; gives its manifest."""
    rows, files = [], []
    for video, frames in films.items():
        files.append(shoot(folder / f"{video}.mp4", frames))
        height, width = frames[0].shape[:2]
        row = {"video": video, "frames": len(frames), "fps": float(FPS), "width": width, "height": height}
        rows.append({**row, "audio": False, "partial": False, "source_s": None, "reason": None})
    write_table(folder / "videos.parquet", rows, REENCODED)
    manifest = folder / "manifest.json"
    write_manifest(manifest, [folder / "videos.parquet", *files], {"videos": len(rows)})
    return manifest


def write_filmed(folder: Path, splits: Mapping[str, int], *, segments: bool = True, rejected: int = 0) -> Filmed:
    """Write a corpus whose videos glow in their action's colour from 1.5 to 4 s and are grey before and after.

    Args:
        folder: where.
        splits: how many videos each split has; they are called v_<split><number>.
        segments: whether actions are annotated at all.
        rejected: how many videos of the split train have no re-encoded file.
    """
    names = [(f"v_{split}{number}", split) for split, count in splits.items() for number in range(count)]
    draw = np.random.default_rng(0)
    tables: dict[str, list[dict[str, Any]]] = {"videos": [], "segments": [], "captions": [], "rejects": []}
    films: list[dict[str, list[np.ndarray]]] = [{}, {}]
    for index, (video, split) in enumerate(names):
        label = list(ACTIONS)[index % 2]
        tables["videos"].append({"video": video, "split": split, "shard": index % 2, "path": "x", "duration": SECONDS})
        if segments:
            tables["segments"].append({"video": video, "start": 1.5, "end": 4.0, "label": label})
            tables["segments"].append({"video": video, "start": 5.9, "end": 6.4, "label": label})
        sentence = f"The screen glows {label.split()[1]}."
        tables["captions"].append({"video": video, "annotator": 1, "start": 1.0, "end": 4.5, "sentence": sentence})
        if not (split == "train" and int(video.removeprefix("v_train")) < rejected):
            films[index % 2][video] = _glowing(ACTIONS[label], draw)
    schemas = {"videos": VIDEOS, "segments": SEGMENTS, "captions": CAPTIONS, "rejects": REJECTS}
    corpus = folder / "corpus" / "manifest.json"
    for name, rows in tables.items():
        write_table(corpus.with_name(f"{name}.parquet"), rows, schemas[name])
    write_manifest(corpus, sorted(corpus.parent.glob("*.parquet")), {"shards": 2, "counts": {}})
    for shard, of_shard in enumerate(films):
        write_videos(folder / "video" / f"{shard:04d}", of_shard)
    concepts = folder / "concepts.json"
    words = {"glow": ["glows"], "red": ["red"], "blue": ["blue"], "screen": ["screen"]}
    concepts.write_text(json.dumps([{"word": word, "pos": "NOUN", "forms": forms} for word, forms in words.items()]))
    return Filmed(corpus, folder / "video", concepts)


def _glowing(colour: tuple[int, int, int], draw: np.random.Generator) -> list[np.ndarray]:
    frames = []
    for index in range(round(SECONDS * FPS)):
        base = colour if 1.5 <= index / FPS < 4.0 else GREY
        noisy = np.array(base) + draw.integers(-20, 20, size=(SIZE[0] // 4, SIZE[1] // 4, 3))
        frames.append(noisy.clip(0, 255).astype(np.uint8).repeat(4, axis=0).repeat(4, axis=1))
    return frames
