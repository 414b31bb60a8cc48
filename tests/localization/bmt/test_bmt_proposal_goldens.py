"""The proposal generator against numbers of the published code."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.bmt_goldens import draw_streams, fill_weights, gaussian, read_bmt
from helpers.gtad_goldens import check_array, read_golden
from torch import Tensor

from pipeline.bimodal.encoder import STREAMS, TransformerSizes
from pipeline.io.atomic import read_json
from pipeline.localization.bmt.anchors import fit_anchors, nearest_centres, run_kmeans
from pipeline.localization.bmt.candidates import (
    clip_predictions,
    decode_predictions,
    is_long,
    select_best,
    select_candidates,
    suppress_overlaps,
)
from pipeline.localization.bmt.network import BmtProposalNetwork, HeadSizes
from pipeline.localization.bmt.targets import RowTimes, StreamTargets, assign_events, compute_stream_losses

ROWS = {"visual": 16, "audio": 40}
"""Rows of the padded streams; the published code treats padding like rows."""
GOLDEN_NAMES = {"visual": "video", "audio": "audio"}
AUDIO_KERNELS = (5, 13, 23, 35, 51, 69, 91, 121, 161, 211)
VISUAL_KERNELS = (1, 5, 9, 13, 19, 25, 35, 45, 61, 79)


@pytest.fixture(scope="module")
def golden(shared: Path) -> Any:
    return read_bmt(shared)["proposal_small"]


@pytest.fixture(scope="module")
def network(golden: Any) -> BmtProposalNetwork:
    config = golden["config"]
    heads = {
        name: HeadSizes(
            tuple(config["kernel_sizes"][published]),
            tuple(config[f"conv_layers_{published}"]),
            len(golden["anchors_seconds"][published]),
        )
        for name, published in GOLDEN_NAMES.items()
    }
    sizes = TransformerSizes(config["d_model"], config["H"], config["N"])
    network = BmtProposalNetwork({"visual": config["d_vid"], "audio": config["d_aud"]}, sizes, heads).eval()
    fill_weights(network, golden["names_and_shapes"], gaussian(golden["weight_std"]))
    for name, published in GOLDEN_NAMES.items():
        network.anchors(name).copy_(torch.tensor(golden["anchors_seconds"][published]))
    return network


def row_times(golden: Any, stream: str) -> RowTimes:
    return RowTimes(0.0, golden["config"]["strides"][GOLDEN_NAMES[stream]])


def predict(golden: Any, network: BmtProposalNetwork) -> dict[str, Tensor]:
    """Predict as published: the heads see the encoder's output in the padding too."""
    streams, masks = draw_streams(
        golden["config"], (ROWS["visual"], ROWS["audio"]), {"visual": [14, 9], "audio": [36, 25]}
    )
    return network.detect(network.encoder(streams, masks))


def decode(golden: Any, network: BmtProposalNetwork) -> Tensor:
    """Return all predictions, in the published order: audio heads first."""
    with torch.no_grad():
        predictions = predict(golden, network)
    return torch.stack(
        [
            torch.cat(
                [
                    decode_predictions(predictions[name][video], row_times(golden, name), network.anchors(name))
                    for name in ("audio", "visual")
                ]
            )
            for video in range(2)
        ]
    )


def targets_of(golden: Any, network: BmtProposalNetwork, stream: str) -> StreamTargets:
    events = [[tuple(event) for event in of_video] for of_video in golden["events"]]
    return assign_events(
        events, [ROWS[stream]] * 2, row_times(golden, stream), network.anchors(stream).double().numpy()
    )


def test_predictions_are_the_published_ones(golden: Any, network: BmtProposalNetwork) -> None:
    rows = decode(golden, network)
    check_array(rows, golden["predictions"], 1e-4, 1e-5)
    np.testing.assert_allclose(rows[0, :8], golden["predictions"]["first_8_rows_video_0"], rtol=1e-5)
    np.testing.assert_allclose(rows[1, -4:], golden["predictions"]["last_4_rows_video_1"], rtol=1e-5)
    assert sum(one.numel() for one in network.parameters()) == golden["parameters"]


@pytest.mark.parametrize("stream", STREAMS)
def test_targets_are_the_published_ones(golden: Any, network: BmtProposalNetwork, stream: str) -> None:
    targets, expected = targets_of(golden, network, stream), golden[f"targets_{GOLDEN_NAMES[stream]}"]
    assert targets.index.tolist() == expected["positives_video_anchor_cell"]
    np.testing.assert_allclose(targets.offset, expected["target_center_offset"], atol=1e-5)
    np.testing.assert_allclose(targets.log_length, expected["target_log_length"], atol=1e-5)


def test_losses_and_gradients_are_the_published_ones(golden: Any, network: BmtProposalNetwork) -> None:
    predictions = predict(golden, network)
    total = torch.zeros(())
    for name, published in GOLDEN_NAMES.items():
        everything = torch.ones(2, ROWS[name], dtype=torch.bool)
        losses = compute_stream_losses(predictions[name], targets_of(golden, network, name), everything)
        expected = golden[f"losses_{published}_summed_over_heads"]
        parts = (losses.offset, losses.length, losses.positive, losses.negative)
        names = ("loss_x", "loss_w", "loss_conf_obj", "loss_conf_noobj")
        for part, key in zip(parts, names, strict=True):
            assert part.item() == pytest.approx(expected[key], rel=1e-5), key
        total = total + losses.total(float(golden["config"]["noobj_coeff"]))
    assert total.item() == pytest.approx(golden["loss_total"], rel=1e-5)
    network.zero_grad()
    total.backward()
    gradients = {
        "encoder.encoder_AV.layers.1.self_att_M1.linear_Q2d.weight": network.encoder.layers[1][
            "audio"
        ].self_attention.query.weight,
        "detection_layers_A.0.conv_layers.0.weight": network.heads["audio"][0][0].weight,
        "detection_layers_V.1.conv_layers.6.bias": network.heads["visual"][1][6].bias,
    }
    for name, parameter in gradients.items():
        assert parameter.grad is not None
        check_array(parameter.grad, golden["grad"][name], 1e-5, 1e-4)


def test_candidates_are_the_published_ones(golden: Any, network: BmtProposalNetwork) -> None:
    rows = decode(golden, network).double().numpy()
    expected = golden["single_video_rows"]
    for max_tiou, key in ((None, "before_nms"), (0.4, "after_nms")):
        candidates = select_candidates(rows[0], golden["duration"][0], 25, max_tiou)
        np.testing.assert_allclose(
            np.column_stack([candidates.segments, candidates.scores]), expected[key], atol=1e-4, rtol=1e-5
        )


@pytest.mark.parametrize("nms", ["none", "0.4"])
def test_rows_of_the_published_validation_follow_from_the_same_steps_in_another_order(
    golden: Any, network: BmtProposalNetwork, nms: str
) -> None:
    expected = golden[f"validation_rows_nms_{nms}"]
    rows = decode(golden, network).double().numpy()
    for video, (name, duration) in enumerate(zip(("v_a", "v_b"), golden["duration"], strict=True)):
        segments = clip_predictions(select_best(rows[video], 25), duration)
        if nms != "none":
            segments = suppress_overlaps(segments, float(nms))
        np.testing.assert_allclose(segments[is_long(segments)], expected[name], atol=2e-5)


def test_suppression_of_overlaps_is_the_published_one(shared: Path) -> None:
    expected = read_bmt(shared)["nms_seeded"]
    random = np.random.RandomState(8)
    segments = np.sort(random.random_sample((60, 2)) * 50, 1)
    scores = np.sort(random.random_sample(60))[::-1]
    selected = suppress_overlaps(np.column_stack([segments, scores]), expected["threshold"])
    np.testing.assert_allclose(selected, expected["kept"], atol=1e-5)


@pytest.mark.parametrize("visual", [1024, 512])
def test_published_sizes_have_the_published_numbers_of_parameters(shared: Path, visual: int) -> None:
    expected = read_bmt(shared)["parameter_counts"][f"d_vid_{visual}"]
    heads = {"audio": HeadSizes(AUDIO_KERNELS, (512, 512), 48), "visual": HeadSizes(VISUAL_KERNELS, (512, 512), 128)}
    with torch.device("meta"):
        network = BmtProposalNetwork({"visual": visual, "audio": 128}, TransformerSizes(), heads)
    network.freeze_encoder()
    counts = {name: sum(one.numel() for one in network.heads[name].parameters()) for name in STREAMS}
    assert counts == {"audio": expected["proposal_heads_audio"], "visual": expected["proposal_heads_video"]}
    frozen = [parameter.numel() for parameter in network.parameters() if not parameter.requires_grad]
    assert sum(frozen) == expected["proposal_encoder_frozen"]


def test_kmeans_converges_where_published(shared: Path) -> None:
    expected = read_golden(shared, "bmt_text_and_anchors.json")["anchors"]["small_lloyd"]
    lengths = np.array(expected["lengths"])
    centres = run_kmeans(lengths, np.array(expected["start"]))
    np.testing.assert_allclose(centres, expected["converged"], rtol=1e-12)
    assert nearest_centres(lengths, centres).tolist() == expected["assignment"]


@pytest.mark.parametrize("count", [48, 128])
def test_anchors_of_the_real_lengths_are_better_than_the_published_ones(shared: Path, count: int) -> None:
    """The published start is random; ours ends nearer to the lengths than every recorded version's."""
    golden = read_golden(shared, "bmt_text_and_anchors.json")["anchors"]
    videos = read_json(shared / "data" / "activitynet_captions" / "train.json").values()
    lengths = np.array([end - start for video in videos for start, end in video["timestamps"]])
    lengths = lengths[lengths > 0]
    mean, deviation, shortest, longest = golden["length_mean_std_min_max"]
    assert len(lengths) == 37_417
    np.testing.assert_allclose(
        [lengths.mean(), lengths.std(), lengths.min(), lengths.max()], [mean, deviation, shortest, longest], rtol=1e-4
    )
    anchors = fit_anchors(lengths, count)
    inertia = np.square(lengths - anchors[nearest_centres(lengths, anchors)]).sum()
    recorded = [run["inertia"] for run in golden[str(count)].values() if isinstance(run, dict)]
    published = np.array(golden[str(count)]["sklearn_1.9.1"]["centres"])
    again = np.square(lengths - published[nearest_centres(lengths, published)]).sum()
    assert again == pytest.approx(golden[str(count)]["sklearn_1.9.1"]["inertia"], rel=1e-3)
    assert inertia < min(recorded)
