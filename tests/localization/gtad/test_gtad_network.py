"""SGAlign and the network of G-TAD against the published ones."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.gtad_goldens import check_array, fill_weights, read_golden
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.localization.gtad.network import GtadNetwork, GtadSizes, gather_neighbours, nearest_positions
from pipeline.localization.gtad.sgalign import SegmentAlignment, bin_weights, segment_regions

FILES = {"anet": "gtad_anet_network.json", "thumos": "gtad_thumos_network.json"}
BINS = {"anet": (32, 4), "thumos": (16, 16)}


def golden_sizes(form: str, config: dict[str, Any]) -> GtadSizes:
    bins, context_bins = BINS[form]
    return GtadSizes(
        positions=config["temporal_scale"],
        max_duration=config["max_duration"],
        bins=bins,
        context_bins=context_bins,
        kernel=config["kern_2d"],
        hidden_dim_1d=config["h_dim_1d"],
        hidden_dim_2d=config["h_dim_2d"],
        hidden_dim_3d=config["h_dim_3d"],
    )


def count(module: torch.nn.Module) -> int:
    return sum(value.numel() for value in module.parameters())


@pytest.mark.parametrize("name", ["bins4_ratio0", "bins16_ratio0", "bins32_ratio0", "bins4_ratio2"])
def test_bins_of_any_region_are_the_published_ones(shared: Path, name: str) -> None:
    golden = read_golden(shared, FILES["anet"])["sgalign_op"]
    x = torch.from_numpy(np.random.RandomState(1).standard_normal((2, 3, 20)).astype(np.float32))
    rois = torch.tensor(golden["rois_batch_start_end"])
    bins, ratio = (int(part[4:] if part.startswith("bins") else part[5:]) for part in name.split("_"))
    weights = bin_weights(rois[:, 1:], bins, 20, ratio).to_dense().view(len(rois), bins, 20)
    output = torch.einsum("rqt,rct->rcq", weights, x[rois[:, 0].long()].double())
    check_array(output, golden["outputs"][name], atol=1e-6)


def test_gradient_of_the_bins_is_the_published_one(shared: Path) -> None:
    golden = read_golden(shared, FILES["anet"])["sgalign_op"]
    rois = torch.tensor(golden["rois_batch_start_end"])
    upstream = torch.from_numpy(np.random.RandomState(2).standard_normal((10, 3, 4)))
    weights = bin_weights(rois[:, 1:], 4, 20).to_dense().view(10, 4, 20)
    gradient = torch.zeros(2, 3, 20, dtype=torch.float64)
    gradient.index_add_(0, rois[:, 0].long(), torch.einsum("rqt,rcq->rct", weights, upstream))
    np.testing.assert_allclose(gradient, golden["gradient"]["grad_input"], atol=2e-5)


@settings(max_examples=20)
@given(st.integers(2, 12), st.integers(1, 12), st.integers(1, 6), st.integers(1, 6), st.integers(0, 99))
def test_alignment_equals_the_published_order_of_sampling_and_convolution(
    positions: int, durations: int, bins: int, context_bins: int, seed: int
) -> None:
    torch.manual_seed(seed)
    layer = SegmentAlignment(positions, durations, bins, context_bins, 3, 5).double()
    x, context = torch.randn(2, 2, 3, positions, dtype=torch.float64).requires_grad_().unbind()
    regions = segment_regions(positions, durations)
    samples = [
        torch.einsum("rqt,vct->vcqr", bin_weights(regions, number, positions).to_dense().unflatten(1, (number, -1)), of)
        for number, of in ((bins, x), (context_bins, context))
    ]
    expected = layer.combine(torch.cat(samples, 2).flatten(1, 2).unflatten(2, (durations, positions)))
    output = layer.to_map(layer(x, context))
    torch.testing.assert_close(output, expected, atol=1e-6, rtol=1e-6)
    upstream = torch.randn_like(output)
    inputs = (x, context, *layer.parameters())
    gradients = torch.autograd.grad(output, inputs, upstream, retain_graph=True)
    for gradient, of_expected in zip(gradients, torch.autograd.grad(expected, inputs, upstream), strict=True):
        torch.testing.assert_close(gradient, of_expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("form", "name"), [("anet", "small"), ("thumos", "small_T16_D6")])
def test_small_network_is_the_published_one(shared: Path, form: str, name: str) -> None:
    golden = read_golden(shared, FILES[form])[name]
    config = golden["config"]
    network = GtadNetwork(config["feat_dim"], golden_sizes(form, config)).eval()
    fill_weights(network, golden["names_and_shapes"], golden["weight_std"])
    assert count(network) == golden["trainable_parameters"]
    shape = (config["batch_size"], config["feat_dim"], config["temporal_scale"])
    x = torch.from_numpy(np.random.RandomState(0).standard_normal(shape).astype(np.float32))
    with torch.no_grad():
        base = network.base(x)
        refined = network.refine(base)
        context = gather_neighbours(refined, nearest_positions(refined)).mean(3)
        aligned = network.align.to_map(network.align(refined, context))
        logits = network.maps[:-1](aligned)
        output = network(x.transpose(1, 2))
    stages = {
        "backbone1": base,
        "backbone2": refined,
        "regu_s_logits": network.start[:-1](base),
        "regu_e_logits": network.end[:-1](base),
        "localization.0_before_relu": aligned,
        "localization_logits": logits,
    }
    for stage, values in stages.items():
        check_array(values, golden["intermediate"][stage], atol=2e-5)
    maps = torch.stack([output.iou_reg, output.iou_cls], 1)
    for field, values in (("confidence_map", maps), ("start", output.start), ("end", output.end)):
        check_array(values, golden["outputs"][field], atol=1e-5)


@pytest.mark.parametrize(("form", "name"), [("anet", "small"), ("thumos", "small_T16_D6")])
def test_graph_neighbours_are_the_published_ones(shared: Path, form: str, name: str) -> None:
    golden = read_golden(shared, FILES[form])[name]
    config = golden["config"]
    network = GtadNetwork(config["feat_dim"], golden_sizes(form, config)).eval()
    fill_weights(network, golden["names_and_shapes"], golden["weight_std"])
    shape = (config["batch_size"], config["feat_dim"], config["temporal_scale"])
    x = torch.from_numpy(np.random.RandomState(0).standard_normal(shape).astype(np.float32))
    with torch.no_grad():
        embedded = network.base[:2](x)
        base = network.base(x)
        inputs = [embedded, base, base, base, network.refine(base)]
    for call, of_call in zip(golden["knn"], inputs, strict=True):
        neighbours = nearest_positions(of_call).sort().values.flatten().numpy()
        expected = np.sort(np.array(call["index_first_40"])[:39].reshape(-1, 3)).ravel()
        np.testing.assert_array_equal(neighbours[:39], expected)
        weights = np.arange(len(neighbours)) % 97 + 1
        assert int((neighbours * weights).sum()) == call["sorted_index_weighted_sum"]


@pytest.mark.parametrize(
    ("form", "name", "parameters"), [("anet", "full_default", 5_563_268), ("thumos", "full_default", 5_617_540)]
)
def test_network_of_the_published_size_is_the_published_one(
    shared: Path, form: str, name: str, parameters: int
) -> None:
    golden = read_golden(shared, FILES[form])[name]
    config = golden["config"]
    network = GtadNetwork(config["feat_dim"], golden_sizes(form, config)).eval()
    fill_weights(network, golden["names_and_shapes"], golden["weight_std"])
    assert count(network) == parameters
    shape = (1, config["feat_dim"], config["temporal_scale"])
    x = torch.from_numpy(np.random.RandomState(0).standard_normal(shape).astype(np.float32))
    with torch.no_grad():
        output = network(x.transpose(1, 2))
    maps = torch.stack([output.iou_reg, output.iou_cls], 1)
    for field, values in (("confidence_map", maps), ("start", output.start), ("end", output.end)):
        check_array(values, golden["outputs"][field], atol=1e-5)


@pytest.mark.parametrize("form", FILES)
def test_parameters_by_channels_of_the_features_are_the_published_numbers(shared: Path, form: str) -> None:
    golden = read_golden(shared, FILES[form])
    sizes = golden_sizes(form, golden["full_default"]["config"])
    small = GtadSizes(4, 4, sizes.bins, sizes.context_bins, sizes.kernel)  # positions have no parameters
    counts = {dim: count(GtadNetwork(int(dim), small)) for dim in golden["trainable_parameters_by_feat_dim"]}
    assert counts == golden["trainable_parameters_by_feat_dim"]
    if form == "anet":
        assert counts["512"] == 5_584_772
