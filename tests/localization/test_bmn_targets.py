"""What the boundary-matching network is shown and what it is to say."""

from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.bmn_videos import REAL
from hypothesis import given
from hypothesis import strategies as st

from pipeline.io.atomic import read_json
from pipeline.localization.bmn.targets import labels, rescale, stack


@pytest.mark.parametrize("video", REAL)
def test_labels_are_the_published_ones(shared: Path, video: str) -> None:
    known = read_json(shared / "golden" / "bmn.json")[f"label_{video}"]
    ours = labels(REAL[video], known["corrected_second"], 100)
    assert ours.start.sum().item() == pytest.approx(known["start_sum"], abs=1e-5)
    for side, wanted in ((ours.start, known["start_nonzero"]), (ours.end, known["end_nonzero"])):
        assert side.nonzero()[:, 0].tolist() == [position for position, _ in wanted]
        torch.testing.assert_close(side[side != 0], torch.tensor([value for _, value in wanted]), atol=1e-5, rtol=0)
    assert ours.overlap.double().sum().item() == pytest.approx(known["iou_sum"], rel=1e-7)
    assert ours.overlap.max().item() == pytest.approx(known["iou_max"], abs=1e-6)
    assert list(divmod(int(ours.overlap.argmax()), 100)) == known["iou_argmax"]
    assert (ours.overlap > 0.9).sum() == known["n_gt_0_9"]
    assert (ours.overlap > 0.7).sum() == known["n_gt_0_7"]


times = st.floats(0, 50).flatmap(lambda start: st.floats(start, 60).map(lambda end: (start, end)))


@given(st.lists(times, max_size=5), st.integers(2, 20))
def test_labels_are_shares_and_overlaps(events: list[tuple[float, float]], positions: int) -> None:
    wanted = labels(events, 50.0, positions)
    for values in (wanted.start, wanted.end, wanted.overlap):
        assert ((values >= 0) & (values <= 1)).all()
    assert not wanted.overlap.tril(-1).any()
    assert bool(wanted.start.any()) == bool(events)


def test_an_event_of_zero_length_has_boundaries_and_overlaps_nothing() -> None:
    wanted = labels([(5.0, 5.0)], 10.0, 10)
    assert wanted.start.tolist() == wanted.end.tolist() == [0, 0, 0, 0, 1, 1, 1, 0, 0, 0]
    assert not wanted.overlap.any()


def test_labels_of_several_videos_are_stacked() -> None:
    both = stack([labels([(0.0, 5.0)], 10.0, 4), labels([], 10.0, 4)])
    assert both.overlap.shape == (2, 4, 4)
    assert both.overlap[0].any()
    assert not both.overlap[1].any()


def test_a_video_is_rescaled_by_time() -> None:
    clips = torch.tensor([[0.0, 10.0], [2.0, 30.0]])
    found = rescale(clips, np.array([1.0, 3.0]), 4.0, 4)
    torch.testing.assert_close(found, torch.tensor([[0.0, 10.0], [0.5, 15.0], [1.5, 25.0], [2.0, 30.0]]))


@given(st.integers(1, 30), st.integers(1, 30))
def test_what_does_not_change_is_not_changed(clips: int, positions: int) -> None:
    found = rescale(torch.full((clips, 2), 7.0), np.arange(clips) + 0.5, clips + 0.3, positions)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, torch.full((positions, 2), 7.0))
