"""Optical flow between consecutive frames of any size, and the inputs that the networks take from it."""

import sys

import pytest
import torch
from helpers.extraction import build
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from pipeline.errors import PipelineError
from pipeline.features.networks import flow
from pipeline.features.networks.weights import WeightSource

CPU = torch.device("cpu")


def test_raft_flow_of_any_frame_size_has_one_flow_per_pair(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flow, "_UPDATES", 1)  # the default of 12 takes twelve times as long
    compute_flow, metadata = flow.build_flow_method("raft", WeightSource("test", "random"), CPU)
    frames = torch.rand(3, 3, 50, 131, generator=torch.Generator().manual_seed(0)) * 255
    flows = compute_flow(frames)
    assert flows.shape == (2, 2, 50, 131)
    assert flows.isfinite().all()
    assert not flows.requires_grad
    assert metadata == {
        "method": "raft_large",
        "bound": 20.0,
        "updates": 1,
        "weights": "random",
        "weights_sha256": None,
    }


@pytest.mark.parametrize(
    ("size", "padded_size"), [((50, 131), (128, 136)), ((256, 455), (256, 456)), ((128, 128), (128, 128))]
)
def test_frames_are_padded_to_a_size_that_raft_accepts(size: tuple[int, int], padded_size: tuple[int, int]) -> None:
    frames = torch.arange(size[0] * size[1], dtype=torch.float32).reshape(1, 1, *size).expand(1, 3, *size)
    padded = flow._pad_to_valid_size(frames)
    assert tuple(padded.shape[2:]) == padded_size
    top, left = (padded_size[0] - size[0]) // 2, (padded_size[1] - size[1]) // 2
    assert torch.equal(padded[:, :, top : top + size[0], left : left + size[1]], frames)
    assert padded[0, 0, 0, 0] == frames[0, 0, 0, 0], "edges are repeated"


@settings(max_examples=50, deadline=None)
@given(st.floats(-100, 100))
def test_flow_is_clipped_and_scaled_as_published(pixels: float) -> None:
    """I3D: [-20, 20] in 8 bits as 128 + 255 / 40 x, rounded (video_features). TSN: 0 to 255, minus 128."""
    flows = torch.full((2, 2, 1, 1), pixels)
    clipped = max(-20.0, min(20.0, pixels))
    for_i3d, for_tsn = flow.i3d_flow_input(flows), flow.tsn_flow_input(flows)
    assert for_i3d.shape == (2, 2, 1, 1)
    assert for_tsn.shape == (4, 1, 1)
    assert for_i3d.unique().item() == pytest.approx(2 * (128 + 255 / 40 * clipped) / 255 - 1, abs=1.01 / 255)
    assert for_tsn.unique().item() == pytest.approx((clipped + 20) / 40 * 255 - 128, abs=0.51)
    assert float(for_tsn.unique()) == round(float(for_tsn.unique()))


def test_flow_inputs_have_the_networks_order_of_axes() -> None:
    flows = torch.tensor([[[[1.0]], [[2.0]]], [[[3.0]], [[4.0]]]])  # pairs, then x and y
    for_i3d, for_tsn = flow.i3d_flow_input(flows).flatten(), flow.tsn_flow_input(flows).flatten()
    assert for_i3d.argsort().tolist() == [0, 2, 1, 3], "x of all pairs, then y"
    assert for_tsn.argsort().tolist() == [0, 1, 2, 3], "x and y of each pair"


def moving_square(step: int) -> Tensor:
    frames = torch.full((6, 3, 96, 96), 60.0)
    texture = torch.rand(24, 24, generator=torch.Generator().manual_seed(0)) * 100 + 100
    for number in range(6):
        frames[number, :, 30:54, 20 + step * number : 44 + step * number] = texture
    return frames


def test_tvl1_measures_the_motion_of_a_square() -> None:
    pytest.importorskip("cv2.optflow", reason="OpenCV with its contributed modules is optional")
    flows = flow.build_tvl1()(moving_square(2))
    assert flows.shape == (5, 2, 96, 96)
    moving = flows[0, :, 34:50, 24:40]
    assert moving[0].median() == pytest.approx(2.0, abs=0.3), "to the right"
    assert moving[1].median() == pytest.approx(0.0, abs=0.3)
    extractor = build("tsn_flow", flow="tvl1")
    assert extractor.metadata["flow"] == {"method": "tvl1", "bound": 20.0}


def test_tvl1_without_opencv_names_the_package_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(PipelineError, match="pip install opencv-contrib-python-headless"):
        build("i3d_flow", flow="tvl1")


@pytest.mark.parametrize(
    ("name", "frames", "shape"), [("tsn_flow", 6, (10, 224, 224)), ("i3d_flow", 65, (2, 64, 224, 224))]
)
def test_flow_networks_see_the_flow_of_their_window(
    monkeypatch: pytest.MonkeyPatch, name: str, frames: int, shape: tuple[int, ...]
) -> None:
    seen: list[Tensor] = []

    def constant_flow(frames: Tensor) -> Tensor:
        """One pixel to the right and two down, since RAFT on a CPU takes minutes."""
        seen.append(frames)
        return torch.tensor([1.0, 2.0])[None, :, None, None].expand(len(frames) - 1, 2, *frames.shape[2:])

    monkeypatch.setattr(flow, "build_flow_method", lambda *_: (constant_flow, {"method": "constant"}))
    extractor = build(name)
    assert extractor.grid.frames == frames
    prepared = extractor.prepare(torch.zeros(frames, 90, 96, 3, dtype=torch.uint8))
    assert prepared.shape == shape
    assert seen[0].shape == (frames, 3, 256, 273), "the whole resized frames"
    x, y = (prepared[0], prepared[1])
    assert x.unique().numel() == y.unique().numel() == 1
    assert x.flatten()[0] < y.flatten()[0]
    assert extractor.metadata["flow"] == {"method": "constant"}
