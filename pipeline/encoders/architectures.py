"""The clip encoders, by name."""

from torch import nn

from pipeline.encoders.encoder import ClipEncoder
from pipeline.encoders.r2plus1d import IG65M_34, NARROW, r2plus1d
from pipeline.encoders.torchvision_shim import torchvision


def build(architecture: str, bn_momentum: float = 0.1) -> ClipEncoder:
    """An encoder with random weights, from torch's global generator.

    Args:
        architecture: `r2plus1d_34` (IG-65M's form), `r2plus1d_18` or `r3d_18` (torchvision's; all three give
            512 channels), or `r2plus1d_narrow` (128 channels, for CPUs).
        bn_momentum: of all batch normalisations, as PyTorch means it: running = (1 - m) running + m batch. TSP's
            code sets 0.9 for R(2+1)D-34, which in Caffe2, where its weights come from, is the share that is *kept*;
            in PyTorch it makes the statistics that extraction uses those of the last two or three batches.

    Raises:
        ValueError: no such architecture (the configuration lets none through).
    """
    encoder = _build(architecture)
    for module in encoder.modules():
        if isinstance(module, nn.BatchNorm3d):
            module.momentum = bn_momentum
    return encoder


def _build(architecture: str) -> ClipEncoder:
    match architecture:
        case "r2plus1d_34":
            return r2plus1d(IG65M_34)
        case "r2plus1d_narrow":
            return r2plus1d(NARROW)
        case "r2plus1d_18" | "r3d_18":
            network = getattr(torchvision("torchvision.models.video"), architecture)(weights=None)
            layers = [network.layer1, network.layer2, network.layer3, network.layer4]
            return ClipEncoder(network.stem, layers, network.fc.in_features)
        case _:
            raise ValueError(f"no architecture {architecture!r}")
