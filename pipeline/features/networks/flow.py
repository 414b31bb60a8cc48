"""Optical flow of consecutive frames, and what I3D and temporal segment networks are given of it."""

import importlib
from collections.abc import Callable
from itertools import pairwise
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from jaxtyping import Float
from torch import Tensor

from pipeline.encoders.torchvision_shim import torchvision
from pipeline.errors import PipelineError
from pipeline.features.networks.weights import Source, WeightFile, without

Method = Literal["raft", "tvl1"]
Flow = Callable[[Float[Tensor, "frames 3 height width"]], Float[Tensor, "pairs 2 height width"]]
"""From frames, 0 to 255, to the motion between each and the next: pixels to the right, pixels down."""

RAFT = WeightFile(
    "raft_large_C_T_SKHT_V2-ff5fadd5.pth",
    "https://download.pytorch.org/models/raft_large_C_T_SKHT_V2-ff5fadd5.pth",
    "BSD-3-Clause",
)
"""torchvision's default for RAFT."""

BOUND = 20.0
"""Pixels of motion that everything faster is taken for."""
_MULTIPLE, _SMALLEST = 8, 128
"""Of the height and width that torchvision's RAFT takes, pixels."""
_PAIRS = 8
"""Pairs of frames at a time, which bounds memory, and makes a window's flow independent of all others."""
_UPDATES = 12
"""Refinements of RAFT's flow, torchvision's default."""


def build(method: Method, source: Source, device: torch.device) -> tuple[Flow, dict[str, Any]]:
    """A method of optical flow.

    Args:
        method: `raft` (torchvision's, large), or `tvl1` (OpenCV's, on the CPU), which I3D and temporal segment
            networks were trained on.
        source: where RAFT's weights are.
        device: where RAFT computes.

    Returns:
        the method, and facts about it.

    Raises:
        PipelineError: RAFT's weights are not there, or OpenCV is not.
    """
    if method == "tvl1":
        return tvl1(), {"method": "tvl1", "bound": BOUND}
    with source.seeded():
        network = torchvision("torchvision.models.optical_flow").raft_large(weights=None)
    facts = source.load(network, RAFT, without(), main=False)
    network.to(device).eval().requires_grad_(requires_grad=False)

    def flow(frames: Tensor) -> Tensor:
        height, width = frames.shape[2:]
        scaled = _fitting(frames) / 127.5 - 1
        pieces = zip(scaled[:-1].split(_PAIRS), scaled[1:].split(_PAIRS), strict=True)
        found = torch.cat([network(first, second, num_flow_updates=_UPDATES)[-1] for first, second in pieces])
        top, left = (found.shape[2] - height) // 2, (found.shape[3] - width) // 2
        return found[:, :, top : top + height, left : left + width]

    return torch.no_grad()(flow), {"method": "raft_large", "bound": BOUND, "updates": _UPDATES, **facts}


def _fitting(frames: Tensor) -> Tensor:
    """Frames with their edges repeated all around, until RAFT takes them."""
    around: list[int] = []
    for side in frames.shape[:1:-1]:
        missing = max(-(-side // _MULTIPLE) * _MULTIPLE, _SMALLEST) - side
        around += [missing // 2, missing - missing // 2]
    return F.pad(frames, around, mode="replicate") if any(around) else frames


def tvl1() -> Flow:
    """TV-L1 (Zach et al., 2007) with OpenCV's parameters, on grey frames.

    Raises:
        PipelineError: OpenCV is not there, or without its contributed modules.
    """
    try:
        cv2 = importlib.import_module("cv2")
        method = cv2.optflow.DualTVL1OpticalFlow_create()
    except (ImportError, AttributeError):
        raise PipelineError(
            "flow: tvl1 is OpenCV's, with its contributed modules: pip install opencv-contrib-python-headless, "
            "or set flow: raft"
        ) from None

    def flow(frames: Tensor) -> Tensor:
        pictures = frames.round().clamp(0, 255).byte().permute(0, 2, 3, 1).cpu().numpy()
        grey = [cv2.cvtColor(np.ascontiguousarray(picture), cv2.COLOR_RGB2GRAY) for picture in pictures]
        found = [method.calc(first, second, None) for first, second in pairwise(grey)]
        return torch.from_numpy(np.stack(found)).permute(0, 3, 1, 2).to(frames.device)

    return flow


def for_i3d(flow: Float[Tensor, "pairs 2 height width"]) -> Float[Tensor, "2 pairs height width"]:
    """One clip: clipped, in 8 bits and to [-1, 1], as video_features does."""
    return ((128 + flow.clamp(-BOUND, BOUND) * (255 / (2 * BOUND))).round() * (2 / 255) - 1).transpose(0, 1)


def for_tsn(flow: Float[Tensor, "pairs 2 height width"]) -> Float[Tensor, "channels height width"]:
    """One picture: x and y of the first pair, of the second, and so on; in 8 bits, less 128, as tsn-pytorch does."""
    return ((flow.clamp(-BOUND, BOUND) + BOUND) * (255 / (2 * BOUND))).round().flatten(0, 1) - 128
