"""A small corpus of re-encoded videos whose colours show the annotated actions, for the tests of encoders."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np

from helpers.corpus_tables import write_corpus_tables
from pipeline.datasets.corpus import ActionSegment, CaptionedEvent, CorpusVideo
from pipeline.io.tables import write_rows
from pipeline.provenance.manifest import write_manifest
from pipeline.video.shard import ReencodedRow

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
"""Settings of a pretraining that takes seconds."""


@dataclass(frozen=True)
class VideoCorpus:
    """The files of the corpus.

    Attributes:
        corpus: manifest of the corpus.
        videos: folder of the re-encoded shards.
        concepts: concepts file.
    """

    corpus: Path
    videos: Path
    concepts: Path


def write_h264(path: Path, frames: Sequence[np.ndarray], *, fps: int = FPS, gop: int = 250) -> Path:
    """Write frames [height, width, 3] of even size as a nearly lossless constant-rate H.264 file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=fps, options={"crf": "4", "preset": "ultrafast", "g": str(gop)})
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode(None))
    return path


def counting_frames(frames: int, size: tuple[int, int] = SIZE) -> list[np.ndarray]:
    """Return up to 100 frames whose brightness is their index: frame i has the value 2 i + 20."""
    return [np.full((*size, 3), 20 + 2 * i, dtype=np.uint8) for i in range(frames)]


def write_video_shard(folder: Path, videos: Mapping[str, Sequence[np.ndarray]]) -> Path:
    """Write a shard of re-encoded videos; return its manifest."""
    rows, files = [], []
    for video, frames in videos.items():
        files.append(write_h264(folder / f"{video}.mp4", frames))
        height, width = frames[0].shape[:2]
        rows.append(ReencodedRow(video, len(frames), float(FPS), width, height, audio=False))
    write_rows(folder / "videos.parquet", rows, ReencodedRow)
    manifest = folder / "manifest.json"
    write_manifest(manifest, [folder / "videos.parquet", *files], {"videos": len(rows)})
    return manifest


def write_video_corpus(
    folder: Path, splits: Mapping[str, int], *, segments: bool = True, rejected: int = 0
) -> VideoCorpus:
    """Write a corpus whose videos have the colour of their action from 1.5 to 4 s and are grey before and after.

    Args:
        folder: the folder to write to.
        splits: number of videos of each split; their ids are v_<split><number>.
        segments: whether actions are annotated.
        rejected: number of videos of the split train that have no re-encoded file.
    """
    names = [(f"v_{split}{number}", split) for split, count in splits.items() for number in range(count)]
    rng = np.random.default_rng(0)
    rows: list[CorpusVideo] = []
    actions: list[ActionSegment] = []
    captions: list[CaptionedEvent] = []
    shards: list[dict[str, list[np.ndarray]]] = [{}, {}]
    for index, (video, split) in enumerate(names):
        label = list(ACTIONS)[index % 2]
        rows.append(CorpusVideo(video, split, index % 2, "x", SECONDS))
        if segments:
            actions += [ActionSegment(video, 1.5, 4.0, label), ActionSegment(video, 5.9, 6.4, label)]
        sentence = f"The screen glows {label.split()[1]}."
        captions.append(CaptionedEvent(video, 1, 1.0, 4.5, sentence))
        if not (split == "train" and int(video.removeprefix("v_train")) < rejected):
            shards[index % 2][video] = _coloured_frames(ACTIONS[label], rng)
    corpus = folder / "corpus" / "manifest.json"
    write_corpus_tables(corpus, rows, actions, captions, metadata={"shards": 2, "counts": {}})
    for number, videos in enumerate(shards):
        write_video_shard(folder / "video" / f"{number:04d}", videos)
    concepts = folder / "concepts.json"
    words = {"glow": ["glows"], "red": ["red"], "blue": ["blue"], "screen": ["screen"]}
    concepts.write_text(json.dumps([{"word": word, "pos": "NOUN", "forms": forms} for word, forms in words.items()]))
    return VideoCorpus(corpus, folder / "video", concepts)


def _coloured_frames(colour: tuple[int, int, int], rng: np.random.Generator) -> list[np.ndarray]:
    frames = []
    for index in range(round(SECONDS * FPS)):
        base_colour = colour if 1.5 <= index / FPS < 4.0 else GREY
        noisy = np.array(base_colour) + rng.integers(-20, 20, size=(SIZE[0] // 4, SIZE[1] // 4, 3))
        frames.append(noisy.clip(0, 255).astype(np.uint8).repeat(4, axis=0).repeat(4, axis=1))
    return frames
