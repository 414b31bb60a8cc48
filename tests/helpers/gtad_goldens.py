"""Networks, scores and picks of the golden files of G-TAD."""

import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from pipeline.io.atomic import read_json


def read_golden(shared: Path, name: str) -> Any:
    """Read a file of `golden/localization_networks`."""
    return read_json(shared / "golden" / "localization_networks" / name)


def fill_weights(network: nn.Module, names_and_shapes: Sequence[tuple[str, Sequence[int]]], std: float) -> None:
    """Fill the parameters of a network by the recipe of the golden files; its order is the order of ours."""
    parameters = list(network.parameters())
    assert [list(parameter.shape) for parameter in parameters] == [list(shape) for _, shape in names_and_shapes]
    with torch.no_grad():
        for parameter, (name, shape) in zip(parameters, names_and_shapes, strict=True):
            values = np.random.RandomState(zlib.crc32(name.encode())).standard_normal(shape) * std
            parameter.copy_(torch.from_numpy(values.astype(np.float32)))


def check_array(values: torch.Tensor, expected: Mapping[str, Any], atol: float, rtol: float = 0.0) -> None:
    """Compare a tensor with a golden array: with all of it, or with its picks, its mean and its extremes."""
    assert list(values.shape) == expected["shape"]
    array = values.detach().double().numpy()
    if "all" in expected:
        np.testing.assert_allclose(array, np.array(expected["all"]), atol=atol, rtol=rtol)
        return
    np.testing.assert_allclose(array.ravel()[expected["flat_index_c_order"]], expected["value"], atol=atol, rtol=rtol)
    np.testing.assert_allclose(
        [array.mean(), array.std(), array.min(), array.max()],
        [expected[name] for name in ("mean", "std", "min", "max")],
        atol=atol,
        rtol=rtol,
    )


def seeded_scores(seed: int, *shape: int) -> torch.Tensor:
    """Return the scores that the golden files of labels, losses and inference use."""
    return torch.from_numpy((0.02 + 0.96 * np.random.RandomState(seed).random_sample(shape)).astype(np.float32))
