"""Golden numbers of the two-channel network: weights drawn by name, inputs, recorded tensors (../shared/golden)."""

import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pipeline.config.two_channel import Pooling, TwoChannelWidths
from pipeline.encoders.two_channel.network import TwoChannelNetwork
from pipeline.io.atomic import read_json

SMALL = TwoChannelWidths(base_3d=4, base_2d=4, encoder=24, embedding=10, decoder=20)
NUM_CLASSES, VOCABULARY = 178, 30
GO = 0
RENAMED = {
    "encoder.channel_3d.": "encoder.c3d_extractor.",
    "encoder.channel_2d.": "encoder.c2d_extractor.",
    "classifier.linear.": "classif_layer.",
}
"""Beginnings of our names of weights -> those of the published code."""


def read_golden(shared: Path, name: str) -> Any:
    """Read a file of `golden/clip_captioning`."""
    return read_json(shared / "golden" / "clip_captioning" / f"{name}.json")


def published_name(name: str) -> str:
    """Return the published name of a weight."""
    return next((new + name.removeprefix(ours) for ours, new in RENAMED.items() if name.startswith(ours)), name)


def draw_weight(name: str, shape: torch.Size, recipe: str) -> Tensor:
    """Draw a weight as the README of the golden files says."""
    draw = np.random.RandomState(zlib.crc32(name.encode())).standard_normal(tuple(shape))
    if name.endswith("num_batches_tracked"):
        return torch.zeros(shape, dtype=torch.int64)
    if name.endswith("running_var"):
        return torch.from_numpy(np.abs(0.05 * draw) + 0.5).float()
    scale, offset = 0.05, 0.0
    if recipe in ("strong", "sharp"):
        if len(shape) == 5:
            scale = 0.1
        elif 2 <= len(shape) <= 4:
            scale = 0.6 if recipe == "sharp" else 0.2
        elif name.endswith("batchnorm.weight"):
            offset = 1.0
    return torch.from_numpy(offset + scale * draw).float()


def golden_network(recipe: str, pooling: Pooling = "scores", widths: TwoChannelWidths = SMALL) -> TwoChannelNetwork:
    """Return the small network of the golden files, in evaluation mode."""
    network = TwoChannelNetwork(widths, NUM_CLASSES, VOCABULARY, pooling)
    state = network.state_dict()
    network.load_state_dict({name: draw_weight(published_name(name), t.shape, recipe) for name, t in state.items()})
    return network.eval()


def golden_clips() -> Tensor:
    """Return the two clips of the golden files."""
    pixels = np.random.RandomState(0).randint(0, 256, (2, 3, 8, 96, 96))
    return torch.from_numpy(pixels.astype(np.float32) / 64.0)


def assert_recorded(values: Tensor, recorded: dict[str, Any], atol: float = 1e-5, rtol: float = 1e-5) -> None:
    """Compare a tensor with a recorded one: shape, statistics and the recorded entries."""
    flat = values.detach().double().flatten()
    assert list(values.shape) == recorded["shape"]
    entries = flat[recorded["flat_index"]] if "flat_index" in recorded else flat
    expected = torch.tensor(recorded["values"], dtype=torch.float64).flatten()
    torch.testing.assert_close(entries, expected, atol=atol, rtol=rtol)
    statistics = torch.stack([flat.mean(), flat.std(correction=0), flat.min(), flat.max()])
    expected_statistics = torch.tensor([recorded[key] for key in ("mean", "std", "min", "max")], dtype=torch.float64)
    torch.testing.assert_close(statistics, expected_statistics, atol=atol, rtol=rtol)
