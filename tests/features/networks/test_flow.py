"""Optical flow: of any size of picture, between each frame and the next, and as the networks take it."""

import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from pipeline.errors import PipelineError
from pipeline.features.networks import flow
from pipeline.features.networks.options import Options
from pipeline.features.networks.registry import build
from pipeline.features.networks.weights import Source

CPU = torch.device("cpu")


def test_raft_takes_any_size_and_gives_a_flow_for_each_pair(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flow, "_UPDATES", 1)  # twelve take as many times as long
    method, facts = flow.build("raft", Source("test", "random"), CPU)
    frames = torch.rand(3, 3, 50, 131, generator=torch.Generator().manual_seed(0)) * 255
    found = method(frames)
    assert found.shape == (2, 2, 50, 131)
    assert found.isfinite().all()
    assert not found.requires_grad
    assert facts == {"method": "raft_large", "bound": 20.0, "updates": 1, "weights": "random", "weights_sha256": None}


@pytest.mark.parametrize(
    ("size", "fits"), [((50, 131), (128, 136)), ((256, 455), (256, 456)), ((128, 128), (128, 128))]
)
def test_pictures_are_padded_to_what_raft_takes(size: tuple[int, int], fits: tuple[int, int]) -> None:
    frames = torch.arange(size[0] * size[1], dtype=torch.float32).reshape(1, 1, *size).expand(1, 3, *size)
    padded = flow._fitting(frames)
    assert tuple(padded.shape[2:]) == fits
    top, left = (fits[0] - size[0]) // 2, (fits[1] - size[1]) // 2
    assert torch.equal(padded[:, :, top : top + size[0], left : left + size[1]], frames)
    assert padded[0, 0, 0, 0] == frames[0, 0, 0, 0], "edges are repeated"


@settings(max_examples=50, deadline=None)
@given(st.floats(-100, 100))
def test_flow_is_clipped_and_scaled_as_published(moved: float) -> None:
    """-20 to 20 pixels in 8 bits; video_features' 128 + 255 / 40 x, rounded, for I3D; for TSN 0 to 255, less 128."""
    given_as = torch.full((2, 2, 1, 1), moved)
    clipped = max(-20.0, min(20.0, moved))
    for_i3d, for_tsn = flow.for_i3d(given_as), flow.for_tsn(given_as)
    assert for_i3d.shape == (2, 2, 1, 1)
    assert for_tsn.shape == (4, 1, 1)
    assert for_i3d.unique().item() == pytest.approx(2 * (128 + 255 / 40 * clipped) / 255 - 1, abs=1.01 / 255)
    assert for_tsn.unique().item() == pytest.approx((clipped + 20) / 40 * 255 - 128, abs=0.51)
    assert float(for_tsn.unique()) == round(float(for_tsn.unique()))


def test_axes_lie_as_the_networks_expect() -> None:
    found = torch.tensor([[[[1.0]], [[2.0]]], [[[3.0]], [[4.0]]]])  # pair, then x and y
    of_i3d, of_tsn = flow.for_i3d(found).flatten(), flow.for_tsn(found).flatten()
    assert of_i3d.argsort().tolist() == [0, 2, 1, 3], "x of all pairs, then y"
    assert of_tsn.argsort().tolist() == [0, 1, 2, 3], "x and y of each pair"


def frames_of_a_square(step: int) -> Tensor:
    frames = torch.full((6, 3, 96, 96), 60.0)
    texture = torch.rand(24, 24, generator=torch.Generator().manual_seed(0)) * 100 + 100
    for number in range(6):
        frames[number, :, 30:54, 20 + step * number : 44 + step * number] = texture
    return frames


def test_tvl1_sees_what_moves() -> None:
    pytest.importorskip("cv2.optflow", reason="OpenCV with its contributed modules is optional")
    found = flow.tvl1()(frames_of_a_square(2))
    assert found.shape == (5, 2, 96, 96)
    moving = found[0, :, 34:50, 24:40]
    assert moving[0].median() == pytest.approx(2.0, abs=0.3), "to the right"
    assert moving[1].median() == pytest.approx(0.0, abs=0.3)
    extractor = build("tsn_flow", "random", options=Options(flow="tvl1"))
    assert extractor.facts["flow"] == {"method": "tvl1", "bound": 20.0}


def test_without_opencv_tvl1_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(PipelineError, match=r"pip install opencv-contrib-python-headless, or set flow: raft$"):
        build("i3d_flow", "random", options=Options(flow="tvl1"))


@pytest.mark.parametrize(
    ("name", "frames", "shape"), [("tsn_flow", 6, (10, 224, 224)), ("i3d_flow", 65, (2, 64, 224, 224))]
)
def test_flow_networks_see_the_flow_of_their_window(
    monkeypatch: pytest.MonkeyPatch, name: str, frames: int, shape: tuple[int, ...]
) -> None:
    seen: list[Tensor] = []

    def stand_in(given_as: Tensor) -> Tensor:
        """RAFT on a CPU would take minutes: the right shape, one pixel to the right and two down."""
        seen.append(given_as)
        return torch.tensor([1.0, 2.0])[None, :, None, None].expand(len(given_as) - 1, 2, *given_as.shape[2:])

    monkeypatch.setattr(flow, "build", lambda *_: (stand_in, {"method": "stand-in"}))
    extractor = build(name, "random")
    assert extractor.grid.frames == frames
    prepared = extractor.prepare(torch.zeros(frames, 90, 96, 3, dtype=torch.uint8))
    assert prepared.shape == shape
    assert seen[0].shape == (frames, 3, 256, 273), "the whole resized frames"
    x, y = (prepared[0], prepared[1])
    assert x.unique().numel() == y.unique().numel() == 1
    assert x.flatten()[0] < y.flatten()[0]
    assert extractor.facts["flow"] == {"method": "stand-in"}
