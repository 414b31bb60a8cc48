"""The clip encoders, by name."""

from pipeline.encoders.encoder import ClipEncoder
from pipeline.encoders.r2plus1d import IG65M_34, NARROW, r2plus1d
from pipeline.encoders.torchvision_shim import torchvision


def build(architecture: str) -> ClipEncoder:
    """An encoder with random weights, from torch's global generator.

    Args:
        architecture: `r2plus1d_34` (IG-65M's form), `r2plus1d_18` or `r3d_18` (torchvision's; all three give
            512 channels), or `r2plus1d_narrow` (128 channels, for CPUs).

    Raises:
        ValueError: no such architecture (the configuration lets none through).
    """
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
