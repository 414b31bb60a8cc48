"""P-GCN: graph, pools, pooling, network, losses and detections are those of the authors' code."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch

from pipeline.config.localizers import PgcnPools
from pipeline.localization.localizer import LabelledSegment
from pipeline.localization.pgcn.detection import PgcnDetection, detect_in_video
from pipeline.localization.pgcn.graph import (
    neighbour_candidates,
    proposal_distances,
    proposal_tious,
    sample_all_trees,
)
from pipeline.localization.pgcn.losses import CentreTargets, completeness_loss, compute_pgcn_losses
from pipeline.localization.pgcn.network import PgcnNetwork
from pipeline.localization.pgcn.pooling import RowGrid, extend, pool_proposals
from pipeline.localization.pgcn.pools import (
    VideoPools,
    build_pools,
    draw_trees,
    label_proposals,
    target_statistics,
)
from pipeline.localization.proposal_lists import read_proposal_list
from tests.helpers.gtad_goldens import check_array, fill_weights, read_golden

VIDEOS = ("video_test_0000007", "video_test_0000015")
FRAME = 1.0
"""The authors' code counts the last frame of a segment."""
GRID = RowGrid(stride=8.0, clip=64.0)


class ListedVideo(NamedTuple):
    """A video of the list of the golden file, in frames."""

    num_frames: float
    actions: list[LabelledSegment]
    rows: np.ndarray

    @property
    def segments(self) -> np.ndarray:
        return self.rows[:, 3:]


@pytest.fixture(scope="module")
def golden(request: pytest.FixtureRequest) -> Any:
    return read_golden(request.getfixturevalue("shared"), "pgcn.json")


@pytest.fixture(scope="module")
def videos(golden: Any) -> dict[str, ListedVideo]:
    """Parse the list with its annotated actions, which the reader of the pipeline leaves out."""
    parsed = {}
    for group in "\n".join(golden["proposal_file_lines"]).split("# ")[1:]:
        _, video, frames, factor, num_actions, *lines = group.split("\n")
        rows = [[float(value) for value in line.split()] for line in lines if line]
        actions = [LabelledSegment(start, end, int(label) - 1) for label, start, end in rows[: int(num_actions)]]
        proposals = np.array(rows[int(num_actions) + 1 :])
        parsed[video] = ListedVideo(float(frames) * float(factor), actions, proposals)
    return parsed


@pytest.fixture(scope="module")
def pools(videos: dict[str, ListedVideo]) -> dict[str, VideoPools]:
    return {
        video: build_pools(
            label_proposals(listed.segments, listed.actions, FRAME), listed.actions, listed.num_frames, PgcnPools()
        )
        for video, listed in videos.items()
    }


def features(golden: Any, video: str) -> torch.Tensor:
    shape = golden["features"]["shapes"][video]
    return torch.from_numpy(np.random.RandomState(50 + VIDEOS.index(video)).standard_normal(shape).astype(np.float32))


def test_the_list_is_read(golden: Any, videos: dict[str, ListedVideo], tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_text("\n".join(golden["proposal_file_lines"]))
    for video, segments in read_proposal_list(path):
        np.testing.assert_allclose(np.array(segments), videos[video].segments / videos[video].num_frames)
    assert list(videos) == list(VIDEOS)


@pytest.mark.parametrize("video", VIDEOS)
def test_matches_with_actions_are_those_of_the_list(videos: dict[str, ListedVideo], video: str) -> None:
    listed = videos[video]
    labelled = label_proposals(listed.segments, listed.actions)
    np.testing.assert_allclose(labelled.tious, listed.rows[:, 1], atol=5.1e-5)
    np.testing.assert_allclose(labelled.overlaps, listed.rows[:, 2], atol=5.1e-5)
    matched = listed.rows[:, 1] > 0
    np.testing.assert_array_equal(labelled.labels[matched] + 1, listed.rows[matched, 0])


@pytest.mark.parametrize("video", VIDEOS)
def test_pools_and_targets(golden: Any, pools: dict[str, VideoPools], video: str) -> None:
    expected = golden["pools"][video]
    rows = [row for kind in ("foreground", "incomplete", "background") for row in expected[kind]]
    table = np.array([[np.nan if value is None else value for value in row] for row in rows], np.float64)
    result = pools[video]
    assert np.bincount(result.kinds).tolist() == [len(rows) for rows in expected.values()]
    np.testing.assert_array_equal(result.segments, table[:, :2])
    np.testing.assert_array_equal(result.labels + 1, table[:, 2])
    np.testing.assert_array_equal(result.is_annotated, np.isnan(table[:, 4]))
    np.testing.assert_allclose(result.targets, table[:, 6:], atol=1e-12)


def test_statistics_of_the_targets(golden: Any, pools: dict[str, VideoPools]) -> None:
    np.testing.assert_allclose(target_statistics(pools.values()), golden["regression_stats_mean_std"], rtol=1e-6)


@pytest.mark.parametrize("video", VIDEOS)
def test_graph(golden: Any, videos: dict[str, ListedVideo], pools: dict[str, VideoPools], video: str) -> None:
    expected = golden["graph"][video]
    segments = pools[video].segments
    np.testing.assert_allclose(proposal_tious(segments, FRAME), expected["train_iou"], atol=1e-12)
    np.testing.assert_allclose(proposal_distances(segments, FRAME), expected["train_distance"], atol=1e-12)
    candidates = neighbour_candidates(segments, FRAME)
    assert candidates.tolist() == expected["train_candidates_8_iou_then_2_distance"]
    candidates = neighbour_candidates(videos[video].segments, FRAME)
    assert candidates.tolist() == expected["test_candidates_8_iou_then_2_distance"]
    trees = sample_all_trees(candidates, np.random.RandomState(7))
    assert trees.tolist() == expected["test_21_nodes_numpy_seed_7"]


@pytest.mark.parametrize("video", VIDEOS)
def test_pooled_features(golden: Any, videos: dict[str, ListedVideo], video: str) -> None:
    expected = golden["pooling"][video]
    ticks = np.array(expected["test_ticks_start_end_extstart_extend"], np.float64)
    # The authors' code truncates to frames after rounding errors; ours keeps the fractions.
    difference = extend(ticks[:, :2], videos[video].num_frames) - ticks[:, 2:]
    assert ((difference >= 0) & (difference <= 1)).all()
    pooled = pool_proposals(features(golden, video), ticks[:, :2], ticks[:, 2:], GRID)
    np.testing.assert_array_equal(pooled.activity.numpy(), np.array(expected["activity_feature"], np.float32))
    sums = pooled.completeness.double().sum(1).numpy()
    np.testing.assert_allclose(sums, expected["completeness_feature_sum_per_row"], rtol=1e-12)


def test_a_training_item(golden: Any, videos: dict[str, ListedVideo], pools: dict[str, VideoPools]) -> None:
    video, expected = VIDEOS[0], golden["training_item_video0_numpy_seed_3"]
    of_video = pools[video]
    candidates = neighbour_candidates(of_video.segments, FRAME)
    trees = draw_trees(of_video, candidates, np.random.RandomState(3))
    assert of_video.kinds[trees[:, 0]].tolist() == expected["type"][::21]
    # The code gives all nodes of a background centre class 0; only the classes of centres are used.
    assert (of_video.labels[trees] + 1)[:-1].ravel().tolist() == expected["label"][:-21]
    assert of_video.labels[trees[-1, 0]] == -1
    mean, std = target_statistics(pools.values())
    regression = np.where(of_video.kinds[trees[:, :1]] == 0, (of_video.targets[trees[:, 0]] - mean) / std, 0)
    np.testing.assert_allclose(regression, expected["reg_target_first_of_each_21"], rtol=1e-6)
    # Training counts frames from 1, and truncates the context to frames.
    times, num_frames = of_video.segments[trees.ravel()], videos[video].num_frames
    context = np.floor(0.5 * (times[:, 1] - times[:, 0]))
    start, end = times[:, 0] + 1, times[:, 1]
    extended = np.stack([np.maximum(start - context, 1), np.minimum(end + context, num_frames)], 1)
    pooled = pool_proposals(features(golden, video), np.stack([start, end], 1), extended, GRID)
    check_array(pooled.activity, expected["activity_feature"], 1e-6)
    check_array(pooled.completeness, expected["completeness_feature"], 1e-6)


@pytest.mark.parametrize(("classes", "dim", "key"), [(20, 512, "tsp_512_1536"), (200, 1024, "200_classes")])
def test_number_of_parameters(golden: Any, classes: int, dim: int, key: str) -> None:
    with torch.device("meta"):
        network = PgcnNetwork(classes, dim)
    assert sum(value.numel() for value in network.parameters()) == golden[f"trainable_parameters_{key}"]


def test_network_of_the_published_size(golden: Any) -> None:
    expected = golden["network_full"]
    network = PgcnNetwork(20, 1024).eval()
    assert sum(value.numel() for value in network.parameters()) == expected["trainable_parameters"] == 4_611_153
    assert [[name, list(value.shape)] for name, value in network.named_parameters()] == expected["names_and_shapes"]
    fill_weights(network, expected["names_and_shapes"], 0.05)
    draw = np.random.RandomState(0)
    nodes = [torch.from_numpy(draw.standard_normal((1, 21, dim)).astype(np.float32)) for dim in (1024, 3072)]
    scores = network(*nodes)
    for name, values in scores._asdict().items():
        check_array(values.flatten(1), expected["outputs"][name], 1e-4)


def test_losses_and_their_gradients(golden: Any) -> None:
    expected = golden["network_and_loss_small"]
    network = PgcnNetwork(5, 8).eval()
    fill_weights(network, expected["names_and_shapes"], expected["config"]["weight_std"])
    draw = np.random.RandomState(0)
    nodes = [torch.from_numpy(np.abs(draw.standard_normal((16, 21, dim))).astype(np.float32)) for dim in (8, 24)]
    scores = network(*nodes)
    regression = np.random.RandomState(4).standard_normal((2, 168, 2)).astype(np.float32)[:, ::21]
    labels = torch.tensor(expected["label_per_centre"]) - 1
    targets = CentreTargets(torch.tensor(expected["type_per_centre"]), labels, torch.from_numpy(regression))
    # The authors' code counts the foreground centre in the place of an incomplete one as incomplete.
    rated = scores.completeness.view(2, 8, 5)[:, :7]
    published = completeness_loss(rated, labels[:, :7], torch.ones(2, 6, dtype=torch.bool), 0.17)
    losses = compute_pgcn_losses(scores, targets)._replace(completeness=published)
    assert losses.activity.item() == pytest.approx(expected["loss_activity"], rel=1e-6)
    assert losses.completeness.item() == pytest.approx(expected["loss_completeness"], rel=1e-6)
    assert losses.regression.item() == pytest.approx(expected["loss_regression"], rel=1e-6)
    assert losses.total.item() == pytest.approx(expected["loss_total_1_0.5_0.5"], rel=1e-6)
    losses.total.backward()
    parameters = dict(network.named_parameters())
    for name, gradient in expected["grad"].items():
        assert parameters[name].grad is not None
        check_array(parameters[name].grad, gradient, 1e-5)  # type: ignore[arg-type]


def test_completeness_loss_alone(golden: Any) -> None:
    expected = golden["completeness_loss_4_groups"]
    scores = np.random.RandomState(6).standard_normal((28, 5)).astype(np.float32) * np.float32(1.5)
    predictions = torch.from_numpy(scores).view(4, 7, 5).requires_grad_()
    labels = torch.tensor(expected["labels"]).view(4, 7) - 1
    loss = completeness_loss(predictions, labels, torch.ones(4, 6, dtype=torch.bool), expected["ohem_ratio"])
    assert loss.item() == pytest.approx(expected["value"], rel=1e-6)
    loss.backward()
    assert predictions.grad is not None
    gradient = predictions.grad.view(28, 5)
    entries = [[int(row), int(column), float(gradient[row, column])] for row, column in torch.nonzero(gradient)]
    assert entries == expected["grad_nonzero"]
    other = completeness_loss(predictions, labels, torch.ones(4, 5, dtype=torch.bool), 0.5)
    assert other.item() == pytest.approx(expected["value_ohem_0.5_positives_2"], rel=1e-6)


def seeded_scores(source: int, number: int, proposals: int) -> list[np.ndarray]:
    draw = np.random.RandomState(70 + 10 * source + number)
    activity = draw.standard_normal((proposals, 21)) * 2
    completeness = draw.standard_normal((proposals, 20))
    regression = draw.standard_normal((proposals, 20, 2)) * 0.2
    return [array.astype(np.float32) for array in (activity, completeness, regression)]


@pytest.mark.parametrize(
    ("key", "weights", "selection"),
    [
        ("one_source_topk60_nms0.2", [1.0], PgcnDetection(60, 0.2)),
        ("one_source_topk60_nms0.35", [1.0], PgcnDetection(60, 0.35)),
        ("two_sources_weights_1.2_1_nms0.32_topk60", [1.2, 1.0], PgcnDetection(60, 0.32)),
        ("no_regression_topk2000_nms0.2", [1.0], PgcnDetection(2000, 0.2, regress=False)),
    ],
)
def test_detections(
    golden: Any, videos: dict[str, ListedVideo], key: str, weights: list[float], selection: PgcnDetection
) -> None:
    expected = golden["detections"][key]
    rows: list[list[Any]] = []
    for number, video in enumerate(VIDEOS):
        listed = videos[video]
        sources = [seeded_scores(source, number, len(listed.rows)) for source in range(len(weights))]
        fused = [
            sum(weight * array for weight, array in zip(weights, arrays, strict=True)) / sum(weights)
            for arrays in zip(*sources, strict=True)
        ]
        result = detect_in_video(listed.segments / listed.num_frames, *fused, 1.0, selection)
        assert result.labels is not None
        rows += [
            [video, int(label), *times, float(score)]
            for label, times, score in zip(result.labels, result.segments, result.scores, strict=True)
        ]
    # The code lists the detections of a class after those of the class before, not in the order of the videos.
    rows.sort(key=lambda row: (row[1], row[0], -row[4]))
    assert len(rows) == expected["rows"]
    assert sum(row[4] for row in rows) == pytest.approx(expected["score_sum"], rel=1e-6)
    listed_rows = sorted(expected["detections"], key=lambda row: (row[1], row[0], -row[4]))
    rows = rows[: len(listed_rows)]
    assert [row[:2] for row in rows] == [row[:2] for row in listed_rows]
    np.testing.assert_allclose([row[2:] for row in rows], [row[2:] for row in listed_rows], rtol=1e-5, atol=1e-7)
