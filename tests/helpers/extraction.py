"""Extractors without networks, a random encoder, and shortcuts to run the extraction of features."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from helpers.video_corpus import SMALL
from pipeline.commands import features
from pipeline.config.clip_geometry import ClipGeometry
from pipeline.config.extractors import EXTRACTORS
from pipeline.config.pretrain_encoder import EncoderEntry
from pipeline.datasets.corpus import RejectedVideo
from pipeline.encoders.losses import NumLabels
from pipeline.encoders.model import PretrainingModel, write_model
from pipeline.extract_features import main
from pipeline.features.extraction.extractor_pass import ExtractedVideoFeature, extract_features
from pipeline.features.extraction.sources import VideoSource
from pipeline.features.networks.base import Extractor, NetworkExtractor, build_extractor
from pipeline.features.time_grid import ClipGrid
from pipeline.io.tables import read_rows
from pipeline.provenance.manifest import write_manifest
from pipeline.video.decoder_process import DecoderProcess
from pipeline.video.stream import TimedFrame, iter_frames

CPU = torch.device("cpu")


class MeanColour:
    """Extractor that gives the mean colour of a clip."""

    name, modality, dim = "mean_colour", "frames", 3

    def __init__(self, clip: ClipGeometry) -> None:
        self.grid, self.metadata = ClipGrid(clip.fps, clip.frames, 16), {}

    def prepare(self, window: Tensor) -> Tensor:
        return window.float().mean(dim=(0, 1, 2))

    def __call__(self, windows: Sequence[Tensor]) -> Tensor:
        return torch.stack(list(windows))


class Brightness:
    """Extractor with any windows that gives the mean brightness of each frame of a window."""

    modality = "frames"

    def __init__(self, name: str, fps: float, frames: int, stride: int) -> None:
        self.name, self.dim, self.metadata = name, frames, {}
        self.grid = ClipGrid(fps, frames, stride)

    def prepare(self, window: Tensor) -> Tensor:
        return window.float().mean(dim=(1, 2, 3))

    def __call__(self, windows: Sequence[Tensor]) -> Tensor:
        return torch.stack(list(windows))


class Loudness:
    """Extractor that gives the mean square of each tenth of a second of sound."""

    name, modality, dim = "loudness", "sound", 10

    def __init__(self) -> None:
        self.grid, self.metadata = ClipGrid(16000.0, 16000, 8000), {}

    def prepare(self, window: Tensor) -> Tensor:
        return window.square().view(10, -1).mean(dim=1)

    def __call__(self, windows: Sequence[Tensor]) -> Tensor:
        return torch.stack(list(windows))


def build(name: str, weights: Path | str = "random", **settings: object) -> NetworkExtractor:
    """Build an extractor of the registry on the CPU."""
    values = {"extractor": name, "weights": str(weights), **settings}
    return build_extractor(EXTRACTORS[name].settings.parse(values, name), CPU)


def write_encoder(folder: Path, **clip: object) -> Path:
    """Write an encoder with random weights as pretraining writes one; return its manifest."""
    config = EncoderEntry.parse({**SMALL, "clip": {**SMALL["clip"], **clip}}, "")
    torch.manual_seed(0)
    model = PretrainingModel(config, NumLabels(2, 0))
    files = write_model(folder, model, config, labels=["a", "b"], concepts=[])
    write_manifest(folder / "manifest.json", files, {})
    return folder / "manifest.json"


def extract_all(
    extractors: Sequence[Extractor], sources: Sequence[VideoSource], **options: Any
) -> dict[str, list[Any]]:
    """Return the `ExtractedRows` or `Rejection` of each video for each extractor, from one pass."""
    results = extract_features(sources, extractors, **{"batch_size": 32, "device": CPU, **options})
    return {source.video: video_results for source, video_results in results}


def extract_rows(extractor: Extractor, sources: Sequence[VideoSource], **options: Any) -> dict[str, np.ndarray]:
    """Return the feature rows of each video; no video may be rejected."""
    results = {video: result for video, [result] in extract_all([extractor], sources, **options).items()}
    assert all(isinstance(result, ExtractedVideoFeature) for result in results.values()), results
    return {video: result.rows for video, result in results.items()}


def run_stage(encoder: Path, videos: Path, output: Path, **settings: object) -> int:
    """Run the stage on a shard with the encoder `tiny`; return its exit status."""
    config = json.dumps({"encoder": "tiny", "stride": 4, "device": "cpu", **settings})
    arguments = ["--config", config, "--encoder", encoder, "--videos", videos, "--output", output]
    return main([str(argument) for argument in arguments])


def run_command(*arguments: object) -> int:
    """Run `sa-tsp features`; return its exit status."""
    return features.main([str(argument) for argument in arguments])


def read_reject_reasons(manifest: Path) -> dict[str, str]:
    """Return the reason of each rejected video of a feature."""
    return {row.video: row.reason for row in read_rows(manifest.parent / "rejects.parquet", RejectedVideo)}


def record_decoded_files(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return a list that receives the name of each file that is decoded from now on."""
    names: list[str] = []
    decode_reencoded = DecoderProcess.iter_frames

    def recording(path: Path, **options: Any) -> Iterator[TimedFrame]:
        names.append(path.name)
        return iter_frames(path, **options)

    def recording_process(process: DecoderProcess, path: Path, *arguments: Any, **options: Any) -> Iterator[TimedFrame]:
        names.append(path.name)
        return decode_reencoded(process, path, *arguments, **options)

    monkeypatch.setattr("pipeline.features.extraction.windows.iter_frames", recording)
    monkeypatch.setattr(DecoderProcess, "iter_frames", recording_process)
    return names
