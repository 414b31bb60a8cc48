"""The boundary-matching network and its boundary-matching layer."""

import hashlib
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.io.atomic import read_json
from pipeline.localization.bmn.network import BmnWidths, BoundaryMatching, BoundaryMatchingNetwork, sampling_matrix

SMALL = BmnWidths(num_samples=4, hidden_dim_1d=8, hidden_dim_2d=5, hidden_dim_3d=6)


def golden(shared: Path) -> Any:
    return read_json(shared / "golden" / "bmn.json")


def count(module: torch.nn.Module) -> int:
    return sum(value.numel() for value in module.parameters())


def test_sampling_matrix_is_the_published_one(shared: Path) -> None:
    expected = golden(shared)
    matrix = sampling_matrix(100, 32)
    assert matrix._nnz() == expected["sample_mask_nonzero"]
    assert matrix.sum().item() == pytest.approx(expected["sample_mask_sum_f64"], abs=1e-5 * 144_888)
    assert (matrix.values() <= 1 + 1e-12).all()
    mask = matrix.float().to_dense().view(100, 100, 32, 100)  # start, end, sample, position
    for name, (start, end, sample) in {
        "s10_e20_bin0": (10, 20, 0),
        "s10_e20_bin16": (10, 20, 16),
        "s0_e0_bin31": (0, 0, 31),
    }.items():
        row = mask[start, end, sample]
        entries = expected[f"mask_col_{name}_nonzero"]
        assert row.nonzero()[:, 0].tolist() == [position for position, _ in entries]
        torch.testing.assert_close(row[row != 0], torch.tensor([value for _, value in entries]), atol=1e-6, rtol=0)
    assert mask[0, 99, 0].sum() == expected["mask_col_s0_e99_bin0_sum"]
    published = mask.permute(3, 2, 0, 1).contiguous().numpy()
    assert list(published.reshape(100, -1).shape) == expected["sample_mask_shape"]
    assert hashlib.sha256(published).hexdigest() == expected["sample_mask_sha256_f32_c_order"]


def test_sampling_matrix_of_a_short_video_is_the_published_one(shared: Path) -> None:
    expected = golden(shared)
    matrix = sampling_matrix(8, 4)
    assert matrix.sum().item() == pytest.approx(expected["small_mask_T8_N4_sum"], abs=1e-5)
    row = matrix.to_dense().view(8, 8, 4, 8)[2, 5]
    torch.testing.assert_close(row, torch.tensor(expected["small_mask_T8_N4_s2_e5"]).double(), atol=1e-6, rtol=0)


@settings(max_examples=20)
@given(st.integers(2, 12), st.integers(1, 6))
def test_sampling_matrix_has_means_inside_and_zeros_outside(positions: int, num_samples: int) -> None:
    dense = sampling_matrix(positions, num_samples).to_dense().view(positions, positions, num_samples, positions)
    assert (dense >= 0).all()
    assert (dense.sum(-1) <= 1 + 1e-9).all()
    for start in range(positions):
        for end in range(positions):
            assert dense[start, end].any() == (start <= end)


def dense_layer(layer: BoundaryMatching, x: torch.Tensor, num_samples: int) -> torch.Tensor:
    """Compute the layer as published: all samples of all proposals, then the convolution over them."""
    positions = x.shape[2]
    mask = sampling_matrix(positions, num_samples).to(x.dtype).to_dense().view(-1, positions)
    samples = (x @ mask.T).view(*x.shape[:2], positions, positions, num_samples).permute(0, 1, 4, 2, 3)
    maps: torch.Tensor = layer.combine(samples).squeeze(2)
    return maps


@settings(max_examples=20)
@given(st.integers(2, 9), st.integers(1, 5), st.integers(1, 3), st.integers(0, 99))
def test_boundary_matching_equals_the_dense_layer(positions: int, num_samples: int, videos: int, seed: int) -> None:
    torch.manual_seed(seed)
    layer = BoundaryMatching(positions, num_samples, 3, 5)
    x = torch.randn(videos, 3, positions)
    results = {}
    for name, forward in (("sparse", layer), ("dense", lambda x: dense_layer(layer, x, num_samples))):
        layer.zero_grad()
        x_with_grad = x.clone().requires_grad_()
        maps = forward(x_with_grad)
        (maps * torch.linspace(-1, 1, maps.numel()).view(maps.shape)).sum().backward()
        weight, bias = layer.combine.weight.grad, layer.combine.bias.grad  # type: ignore[union-attr]
        assert weight is not None
        assert bias is not None
        results[name] = (maps.detach(), x_with_grad.grad, weight.clone(), bias.clone())
    for sparse, dense in zip(results["sparse"], results["dense"], strict=True):
        torch.testing.assert_close(sparse, dense, atol=1e-4, rtol=1e-4)


def test_boundary_matching_saves_the_published_weights_and_nothing_else() -> None:
    layer = BoundaryMatching(6, 4, 3, 5)
    assert {name: tuple(value.shape) for name, value in layer.state_dict().items()} == {
        "combine.weight": (5, 3, 4, 1, 1),
        "combine.bias": (5,),
    }
    assert count(layer) == 65


def test_network_has_the_published_number_of_parameters(shared: Path) -> None:
    expected = golden(shared)
    network = BoundaryMatchingNetwork(400, 100, BmnWidths())
    assert count(network) == expected["bmn_params_trainable"] == 4_978_564
    matching = next(module for module in network.modules() if isinstance(module, BoundaryMatching))
    assert {
        "x_1d_b": count(network.base),
        "x_1d_s": count(network.start),
        "x_1d_e": count(network.end),
        "x_1d_p": count(network.proposals[0]),
        "x_3d_p": count(matching),
        "x_2d_p": count(network.proposals[3:]),
    } == expected["bmn_params_by_module"]


@pytest.mark.parametrize("dim", [8, 6, 7])
def test_network_reads_every_channel_of_any_number_of_channels(dim: int) -> None:
    torch.manual_seed(0)
    network = BoundaryMatchingNetwork(dim, 10, SMALL)
    x = torch.randn(2, 10, dim)
    output = network(x)
    assert output.start.shape == output.end.shape == (2, 10)
    assert output.iou_reg.shape == output.iou_cls.shape == (2, 10, 10)
    for channel in range(dim):
        changed = x.clone()
        changed[..., channel] += 3
        assert not torch.equal(network(changed).iou_cls, output.iou_cls)


def test_network_output_does_not_depend_on_the_batch() -> None:
    torch.manual_seed(0)
    network = BoundaryMatchingNetwork(4, 10, SMALL)
    x = torch.randn(3, 10, 4)
    batch, single = network(x), network(x[1:2])
    for name in ("start", "end", "iou_reg", "iou_cls"):
        torch.testing.assert_close(getattr(batch, name)[1:2], getattr(single, name), atol=1e-6, rtol=1e-5)
