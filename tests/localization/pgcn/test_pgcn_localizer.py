"""P-GCN as a localizer: it learns, its detections do not depend on chance, and odd videos have a stated result."""

from collections.abc import Mapping, Sequence

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.config.localizers import PgcnPools, PgcnSettings
from pipeline.datasets.tiou import tiou_matrix
from pipeline.errors import PipelineError
from pipeline.localization.localizer import Detections, LabelledSegment, Localizer, LocalizerInputs, fuse_scores
from pipeline.localization.pgcn.detection import PgcnDetection, apply_regression, detect_in_video, suppress
from pipeline.localization.pgcn.graph import neighbour_candidates, proposal_tious, sample_all_trees
from pipeline.localization.pgcn.localizer import PgcnLocalizer
from pipeline.localization.pgcn.losses import CentreTargets, completeness_loss, compute_pgcn_losses
from pipeline.localization.pgcn.network import PgcnScores
from pipeline.localization.pgcn.pooling import RowGrid, pool_spans
from pipeline.localization.pgcn.pools import (
    BACKGROUND,
    FOREGROUND,
    INCOMPLETE,
    build_pools,
    draw_trees,
    label_proposals,
    regression_targets,
    target_statistics,
)
from pipeline.localization.proposals import Proposal
from pipeline.training.seeds import seed_all

DURATION, DIM, CLASSES = 40.0, 32, 2
SETTINGS = PgcnSettings(features=["toy"], repeats=1, lr=0.002)
TEST_VIDEOS = [f"v_{number}" for number in range(40, 48)]


class ToyInputs(LocalizerInputs):
    """Videos of 40 s with a row each second; a row in an action shows its class."""

    def __init__(
        self,
        actions: Mapping[str, Sequence[LabelledSegment]],
        proposals: Mapping[str, Sequence[Proposal]] | None = None,
    ) -> None:
        self.dim = DIM
        self._actions = actions
        self._proposals = {video: grid_proposals() for video in actions} if proposals is None else proposals

    def features(self, video: str) -> torch.Tensor:
        draw = np.random.default_rng(int(video[2:]))
        rows = 0.3 * draw.normal(size=(int(DURATION), DIM))
        for start, end, label in self._actions[video]:
            rows[int(start) : int(end), label] += 2.0
        return torch.from_numpy(rows.astype(np.float32))

    def centres(self, _video: str) -> np.ndarray:
        return np.arange(DURATION) + 0.5

    def duration(self, _video: str) -> float:
        return DURATION


def grid_proposals() -> list[Proposal]:
    """Return segments of several lengths, and one that is listed twice."""
    segments = [
        (float(start), float(start + length)) for length in (4, 8, 12, 16) for start in range(0, 41 - length, 2)
    ]
    return [Proposal(start, end, 1.0) for start, end in sorted([*segments, segments[3]])]


def toy_actions(videos: int) -> dict[str, list[LabelledSegment]]:
    """Return one action for each video; its class is the parity of the number."""
    draw = np.random.default_rng(5)
    actions = {}
    for number in range(videos):
        start = float(draw.integers(2, 24))
        actions[f"v_{number}"] = [LabelledSegment(start, start + float(draw.integers(8, 15)), number % CLASSES)]
    return actions


def train(localizer: PgcnLocalizer, inputs: ToyInputs, actions: dict[str, list[LabelledSegment]], epochs: int) -> float:
    """Train, and return the last loss."""
    items, optimizer, loss = localizer.training_items(inputs, actions), localizer.build_optimizer(), 0.0
    localizer.network.train()
    for epoch in range(epochs):
        seed_all("toy", epoch)
        for first in range(0, len(items), 4):
            losses = localizer.compute_losses(inputs, actions, items[first : first + 4])
            optimizer.zero_grad()
            losses.total.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            loss = losses.total.item()
    localizer.network.eval()
    return loss


@pytest.fixture(scope="module")
def trained() -> tuple[PgcnLocalizer, ToyInputs, dict[str, list[LabelledSegment]]]:
    actions = toy_actions(48)
    inputs = ToyInputs(actions)
    seed_all("weights")
    localizer = PgcnLocalizer(SETTINGS, DIM, CLASSES)
    training = {video: of_video for video, of_video in actions.items() if video not in TEST_VIDEOS}
    localizer.feature_norm.fit(inputs.features(video) for video in training)
    train(localizer, inputs, training, 14)
    return localizer, inputs, actions


def test_pgcn_is_a_localizer() -> None:
    assert isinstance(PgcnLocalizer(SETTINGS, DIM, CLASSES), Localizer)


def test_it_finds_the_actions_of_other_videos(
    trained: tuple[PgcnLocalizer, ToyInputs, dict[str, list[LabelledSegment]]],
) -> None:
    localizer, inputs, actions = trained
    tious = []
    for video in TEST_VIDEOS:
        detections = localizer.detect(inputs, video, localizer.score(inputs, [video])[0])
        start, end, label = actions[video][0]
        assert detections.labels is not None
        assert detections.labels[0] == label
        assert (np.diff(detections.scores) <= 0).all()
        tious.append(tiou_matrix(detections.segments[:1], np.array([[start, end]]))[0, 0])
    assert np.mean(tious) > 0.5


def test_detections_do_not_depend_on_chance_or_on_the_other_videos(
    trained: tuple[PgcnLocalizer, ToyInputs, dict[str, list[LabelledSegment]]],
) -> None:
    localizer, inputs, _ = trained
    torch.manual_seed(1)
    scores = localizer.score(inputs, ["v_41"])[0]
    torch.manual_seed(2)
    beside = localizer.score(inputs, ["v_40", "v_41"])[1]
    assert all(np.array_equal(scores[name], beside[name]) for name in scores)


def test_two_sources_are_averaged_before_the_selection(
    trained: tuple[PgcnLocalizer, ToyInputs, dict[str, list[LabelledSegment]]],
) -> None:
    localizer, inputs, _ = trained
    seed_all("other")
    other = PgcnLocalizer(SETTINGS, DIM, CLASSES)
    other.network.eval()
    scores = [each.score(inputs, ["v_41"])[0] for each in (localizer, other)]
    fused = fuse_scores(scores, [1.2, 1.0], "v_41")
    np.testing.assert_allclose(fused["activity"], (1.2 * scores[0]["activity"] + scores[1]["activity"]) / 2.2)
    detections = localizer.detect(inputs, "v_41", fused)
    alone = localizer.detect(inputs, "v_41", scores[0])
    assert not np.array_equal(detections.scores[:1], alone.scores[:1])
    with pytest.raises(PipelineError, match="v_41"):
        fuse_scores([scores[0], PgcnLocalizer(SETTINGS, DIM, 3).score(inputs, ["v_41"])[0]], [1.0, 1.0], "v_41")


def test_training_depends_on_the_seed_alone() -> None:
    actions = toy_actions(3)
    losses = []
    for _ in range(2):
        seed_all("weights")
        losses.append(train(PgcnLocalizer(SETTINGS, DIM, CLASSES), ToyInputs(actions), actions, 1))
    assert losses[0] == losses[1]


def test_biases_learn_twice_as_fast_and_do_not_decay() -> None:
    groups = PgcnLocalizer(SETTINGS, DIM, CLASSES).build_optimizer().param_groups
    assert [(group.get("lr_factor", 1.0), group["weight_decay"]) for group in groups] == [(1.0, 5e-4), (2.0, 0.0)]
    assert [len(group["params"]) for group in groups] == [7, 7]
    assert all(value.dim() == 1 for value in groups[1]["params"])


def test_the_learning_rate_decays_three_times() -> None:
    rates = [SETTINGS.learning_rate(epoch) / SETTINGS.lr for epoch in (1, 15, 16, 31, 46, 61, 70)]
    np.testing.assert_allclose(rates, [1, 1, 0.1, 0.01, 0.001, 0.001, 0.001])


@pytest.mark.parametrize("proposals", [[], [Proposal(3.0, 3.0, 1.0)]])
def test_a_video_without_proposals_is_named(proposals: list[Proposal]) -> None:
    actions = toy_actions(2)
    inputs = ToyInputs(actions, {"v_0": grid_proposals(), "v_1": proposals})
    with pytest.raises(PipelineError, match="v_1"):
        PgcnLocalizer(SETTINGS, DIM, CLASSES).training_items(inputs, actions)
    with pytest.raises(PipelineError, match="v_1"):
        PgcnLocalizer(SETTINGS, DIM, CLASSES).score(inputs, ["v_0", "v_1"])


def test_one_proposal_is_its_own_neighbour(
    trained: tuple[PgcnLocalizer, ToyInputs, dict[str, list[LabelledSegment]]],
) -> None:
    localizer, _, actions = trained
    inputs = ToyInputs(actions, {"v_0": [Proposal(3.0, 9.0, 1.0)]})
    detections = localizer.detect(inputs, "v_0", localizer.score(inputs, ["v_0"])[0])
    assert len(detections.segments) == CLASSES


segment_lists = st.lists(
    st.tuples(st.floats(0, 30), st.floats(0.1, 10)).map(lambda pair: (pair[0], pair[0] + pair[1])),
    min_size=1,
    max_size=12,
).map(lambda pairs: np.array(pairs, np.float64))


@given(segment_lists)
def test_candidates_are_contextual_then_surrounding(segments: np.ndarray) -> None:
    tious = proposal_tious(segments)
    for node, candidates in enumerate(neighbour_candidates(segments)):
        contextual, surrounding = candidates[:8], candidates[8:]
        others = [index for index in range(len(segments)) if index != node and tious[node, index] > 0.7]
        assert set(contextual) <= (set(others) or {node})
        assert len(set(contextual)) == min(8, max(1, len(others)))
        assert all(index == node or tious[node, index] == 0 for index in surrounding)


@given(segment_lists, st.integers(0, 9))
def test_trees_have_the_centre_first_and_neighbours_of_neighbours_after(segments: np.ndarray, seed: int) -> None:
    candidates = neighbour_candidates(segments)
    trees = sample_all_trees(candidates, np.random.default_rng(seed))
    assert trees.shape == (len(segments), 21)
    for centre, tree in enumerate(trees):
        assert tree[0] == centre
        assert set(tree[1:5]) <= set(candidates[centre])
        for child in range(4):
            assert set(tree[5 + 4 * child : 9 + 4 * child]) <= set(candidates[tree[1 + child]])


@settings(max_examples=50)
@given(st.integers(1, 12), st.floats(0.5, 3), st.floats(0.5, 3), st.data())
def test_pooled_spans_are_maxima_of_rows(num_rows: int, stride: float, clip: float, data: st.DataObject) -> None:
    start = data.draw(st.floats(0, 12))
    span = np.array([[start, start + data.draw(st.floats(0, 12))]])
    rows = torch.randn(num_rows, 3)
    grid = RowGrid(stride, clip)
    (first,), (last,) = grid.rows_of(span, num_rows)
    assert 0 <= first <= last < num_rows
    torch.testing.assert_close(pool_spans(rows, span, grid)[0], rows[first : last + 1].max(0).values)


def test_a_video_without_background_draws_foreground_instead() -> None:
    actions = [LabelledSegment(0.0, 20.0, 1)]
    segments = np.array([[0.0, 20.0], [0.0, 18.0], [1.0, 20.0]])
    pools = build_pools(label_proposals(segments, actions), actions, 20.0, PgcnPools())
    assert set(pools.kinds) == {FOREGROUND}
    trees = draw_trees(pools, neighbour_candidates(pools.segments), np.random.default_rng(0))
    assert (pools.kinds[trees[:, 0]] == FOREGROUND).all()
    mean, std = target_statistics([pools])
    assert np.isfinite([mean, std]).all()


def test_targets_without_spread_are_not_standardised() -> None:
    actions = [LabelledSegment(0.0, 20.0, 1)]
    pools = build_pools(label_proposals(np.array([[0.0, 20.0]]), actions), actions, 20.0, PgcnPools())
    mean, std = target_statistics([pools])
    assert mean.tolist() == [0, 0]
    assert std.tolist() == [1, 1]


def test_a_foreground_centre_in_an_incomplete_place_is_not_pushed_down() -> None:
    draw = torch.Generator().manual_seed(0)
    scores = PgcnScores(
        torch.randn(8, 3, generator=draw), torch.randn(8, 2, generator=draw), torch.randn(8, 2, 2, generator=draw)
    )
    kinds = torch.tensor([[FOREGROUND, *[INCOMPLETE] * 5, FOREGROUND, BACKGROUND]])
    labels = torch.tensor([[0, 1, 1, 1, 1, 1, 0, -1]])
    targets = CentreTargets(kinds, labels, torch.zeros(1, 8, 2))
    before = compute_pgcn_losses(scores, targets).completeness
    scores.completeness[6] = 1e3
    assert compute_pgcn_losses(scores, targets).completeness == before
    everything = completeness_loss(
        scores.completeness[None, :7], labels[:, :7], torch.ones(1, 6, dtype=torch.bool), 0.17
    )
    assert everything > before


@given(segment_lists, st.floats(-2, 2), st.floats(-1, 1))
def test_the_regression_inverts_its_targets(segments: np.ndarray, shift: float, scale: float) -> None:
    targets = np.tile([shift, scale], (len(segments), 1))
    moved = apply_regression(segments, targets)
    np.testing.assert_allclose(regression_targets(segments, moved), targets, atol=1e-9)


@given(segment_lists, st.floats(0.1, 0.9))
def test_suppression_keeps_the_best_and_nothing_that_overlaps_it(segments: np.ndarray, max_tiou: float) -> None:
    survivors = suppress(segments, max_tiou)
    tious = proposal_tious(segments)
    assert survivors[0] == 0
    for index in range(len(segments)):
        better = [other for other in survivors if other < index]
        assert (index in survivors) == all(tious[index, other] <= max_tiou for other in better)


def test_detections_stay_in_the_video() -> None:
    draw = np.random.default_rng(0)
    segments = np.array([[0.0, 6.0], [5.0, 10.0]])
    regression = 3 * draw.normal(size=(2, 4, 2))
    detections: Detections = detect_in_video(
        segments, draw.normal(size=(2, 5)), draw.normal(size=(2, 4)), regression, 10.0, PgcnDetection(100, 0.5)
    )
    assert len(detections.segments) <= 8
    assert (detections.segments[:, 0] >= 0).all()
    assert (detections.segments[:, 0] < detections.segments[:, 1]).all()
    assert (detections.segments[:, 1] <= 10).all()
