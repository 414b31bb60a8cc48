"""The boundary-matching layer."""

import hashlib
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.io.atomic import read_json
from pipeline.localization.bmn.matching import BoundaryMatching, sampling


def golden(shared: Path) -> Any:
    return read_json(shared / "golden" / "bmn.json")


def test_the_samples_are_the_published_ones(shared: Path) -> None:
    known = golden(shared)
    matrix = sampling(100, 32)
    assert matrix._nnz() == known["sample_mask_nonzero"]
    assert matrix.sum().item() == pytest.approx(known["sample_mask_sum_f64"], abs=1e-5 * 144_888)
    assert (matrix.values() <= 1 + 1e-12).all()
    mask = matrix.float().to_dense().view(100, 100, 32, 100)  # start, end, sample, position
    for name, (start, end, sample) in {
        "s10_e20_bin0": (10, 20, 0),
        "s10_e20_bin16": (10, 20, 16),
        "s0_e0_bin31": (0, 0, 31),
    }.items():
        row = mask[start, end, sample]
        wanted = known[f"mask_col_{name}_nonzero"]
        assert row.nonzero()[:, 0].tolist() == [position for position, _ in wanted]
        torch.testing.assert_close(row[row != 0], torch.tensor([value for _, value in wanted]), atol=1e-6, rtol=0)
    assert mask[0, 99, 0].sum() == known["mask_col_s0_e99_bin0_sum"]
    published = mask.permute(3, 2, 0, 1).contiguous().numpy()
    assert list(published.reshape(100, -1).shape) == known["sample_mask_shape"]
    assert hashlib.sha256(published).hexdigest() == known["sample_mask_sha256_f32_c_order"]


def test_the_samples_of_a_short_video_are_the_published_ones(shared: Path) -> None:
    known = golden(shared)
    matrix = sampling(8, 4)
    assert matrix.sum().item() == pytest.approx(known["small_mask_T8_N4_sum"], abs=1e-5)
    row = matrix.to_dense().view(8, 8, 4, 8)[2, 5]
    torch.testing.assert_close(row, torch.tensor(known["small_mask_T8_N4_s2_e5"]).double(), atol=1e-6, rtol=0)


@settings(max_examples=20)
@given(st.integers(2, 12), st.integers(1, 6))
def test_samples_are_means_inside_and_zeros_outside(positions: int, samples: int) -> None:
    dense = sampling(positions, samples).to_dense().view(positions, positions, samples, positions)
    assert (dense >= 0).all()
    assert (dense.sum(-1) <= 1 + 1e-9).all()
    for start in range(positions):
        for end in range(positions):
            assert dense[start, end].any() == (start <= end)


def dense_layer(layer: BoundaryMatching, x: torch.Tensor, samples: int) -> torch.Tensor:
    """The published way: all samples of all proposals, then the convolution over them."""
    positions = x.shape[2]
    mask = sampling(positions, samples).to(x.dtype).to_dense().view(-1, positions)
    made = (x @ mask.T).view(*x.shape[:2], positions, positions, samples).permute(0, 1, 4, 2, 3)
    maps: torch.Tensor = layer.combine(made).squeeze(2)
    return maps


@settings(max_examples=20)
@given(st.integers(2, 9), st.integers(1, 5), st.integers(1, 3), st.integers(0, 99))
def test_values_and_gradients_are_those_of_the_dense_way(positions: int, samples: int, videos: int, seed: int) -> None:
    torch.manual_seed(seed)
    layer = BoundaryMatching(positions, samples, 3, 5)
    x = torch.randn(videos, 3, positions)
    found = {}
    for name, forward in (("ours", layer), ("dense", lambda x: dense_layer(layer, x, samples))):
        layer.zero_grad()
        given_x = x.clone().requires_grad_()
        maps = forward(given_x)
        (maps * torch.linspace(-1, 1, maps.numel()).view(maps.shape)).sum().backward()
        weight, bias = layer.combine.weight.grad, layer.combine.bias.grad  # type: ignore[union-attr]
        assert weight is not None
        assert bias is not None
        found[name] = (maps.detach(), given_x.grad, weight.clone(), bias.clone())
    for ours, dense in zip(found["ours"], found["dense"], strict=True):
        torch.testing.assert_close(ours, dense, atol=1e-4, rtol=1e-4)


def test_weights_are_those_of_the_published_layer_and_nothing_else_is_kept() -> None:
    layer = BoundaryMatching(6, 4, 3, 5)
    assert {name: tuple(value.shape) for name, value in layer.state_dict().items()} == {
        "combine.weight": (5, 3, 4, 1, 1),
        "combine.bias": (5,),
    }
    assert sum(value.numel() for value in layer.parameters()) == 65
