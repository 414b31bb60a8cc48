"""Optical flow between consecutive frames, and the inputs that I3D and temporal segment networks take from it."""

import importlib
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from jaxtyping import Float
from torch import Tensor

from pipeline.config.extractors import RAFT, FlowMethod
from pipeline.encoders.torchvision_shim import import_torchvision
from pipeline.errors import PipelineError
from pipeline.features.networks.weights import WeightSource, drop_prefixes

FlowFunction = Callable[[Float[Tensor, "frames 3 height width"]], Float[Tensor, "pairs 2 height width"]]
"""Map frames in [0, 255] to the motion from each frame to the next: pixels to the right, pixels down."""

BOUND = 20.0
"""Flow is clipped to [-BOUND, BOUND], pixels."""
_SIZE_MULTIPLE, _MIN_SIZE = 8, 128
"""Height and width that torchvision's RAFT accepts, pixels."""
_PAIRS_PER_BATCH = 8
"""Pairs of frames per forward pass of RAFT. Bounds memory, and keeps a window's flow independent of other windows."""
_UPDATES = 12
"""Refinement steps of RAFT, torchvision's default."""


def build_flow_method(
    method: FlowMethod, source: WeightSource, device: torch.device
) -> tuple[FlowFunction, dict[str, Any]]:
    """Build a method of optical flow.

    Args:
        method: `raft` (torchvision's large RAFT), or `tvl1` (OpenCV's, on the CPU), which I3D and temporal segment
            networks were trained on.
        source: where RAFT's weights are.
        device: device of RAFT.

    Returns:
        the flow function, and metadata about it.

    Raises:
        PipelineError: RAFT's weights are absent, or OpenCV is not installed.
    """
    if method == "tvl1":
        return build_tvl1(), {"method": "tvl1", "bound": BOUND}
    with source.seeded_init():
        network = import_torchvision("torchvision.models.optical_flow").raft_large(weights=None)
    metadata = source.load(network, RAFT, drop_prefixes(), main=False)
    network.to(device).eval().requires_grad_(requires_grad=False)

    def flow(frames: Tensor) -> Tensor:
        height, width = frames.shape[2:]
        scaled = _pad_to_valid_size(frames) / 127.5 - 1
        batches = zip(scaled[:-1].split(_PAIRS_PER_BATCH), scaled[1:].split(_PAIRS_PER_BATCH), strict=True)
        padded = torch.cat([network(first, second, num_flow_updates=_UPDATES)[-1] for first, second in batches])
        top, left = (padded.shape[2] - height) // 2, (padded.shape[3] - width) // 2
        return padded[:, :, top : top + height, left : left + width]

    return torch.no_grad()(flow), {"method": "raft_large", "bound": BOUND, "updates": _UPDATES, **metadata}


def _pad_to_valid_size(frames: Tensor) -> Tensor:
    """Pad frames on all sides by repeating their edges, to the next size that RAFT accepts."""
    padding: list[int] = []
    for side in frames.shape[:1:-1]:
        missing = max(-(-side // _SIZE_MULTIPLE) * _SIZE_MULTIPLE, _MIN_SIZE) - side
        padding += [missing // 2, missing - missing // 2]
    return F.pad(frames, padding, mode="replicate") if any(padding) else frames


def build_tvl1() -> FlowFunction:
    """Build TV-L1 (Zach et al., 2007) with OpenCV's default parameters, on grey frames.

    Raises:
        PipelineError: OpenCV is not installed, or lacks its contributed modules.
    """
    try:
        cv2 = importlib.import_module("cv2")
        method = cv2.optflow.DualTVL1OpticalFlow_create()
    except (ImportError, AttributeError):
        raise PipelineError(
            "flow: tvl1 needs OpenCV with its contributed modules: pip install opencv-contrib-python-headless, "
            "or set flow: raft"
        ) from None

    def flow(frames: Tensor) -> Tensor:
        images = frames.round().clamp(0, 255).byte().permute(0, 2, 3, 1).cpu().numpy()
        grey = [cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2GRAY) for image in images]
        flows = [method.calc(first, second, None) for first, second in pairwise(grey)]
        return torch.from_numpy(np.stack(flows)).permute(0, 3, 1, 2).to(frames.device)

    return flow


def i3d_flow_input(flow: Float[Tensor, "pairs 2 height width"]) -> Float[Tensor, "2 pairs height width"]:
    """Turn flow into the input of I3D: clipped, quantised to 8 bits, scaled to [-1, 1], as video_features does."""
    return ((128 + flow.clamp(-BOUND, BOUND) * (255 / (2 * BOUND))).round() * (2 / 255) - 1).transpose(0, 1)


def tsn_flow_input(flow: Float[Tensor, "pairs 2 height width"]) -> Float[Tensor, "channels height width"]:
    """Turn flow into the input of a temporal segment network, as tsn-pytorch does.

    The channels are x and y of the first pair, x and y of the second pair, and so on: clipped, quantised to 8 bits,
    minus 128.
    """
    return ((flow.clamp(-BOUND, BOUND) + BOUND) * (255 / (2 * BOUND))).round().flatten(0, 1) - 128
