"""What every clip encoder is: a stem, four layers, an average over time and space."""

from jaxtyping import Float
from torch import Tensor, nn


class ClipEncoder(nn.Module):
    """A network from normalised clips to features, without a classification layer.

    The parts are named as in torchvision's VideoResNet (`stem`, `layer1` to `layer4`), whose state dicts, and
    those of all that follow it, fit therefore by name.

    Args:
        stem: the first convolutions.
        layers: the four residual layers.
        dim: channels of the last one, that is, of the feature.
    """

    def __init__(self, stem: nn.Module, layers: list[nn.Module], dim: int) -> None:
        super().__init__()
        self.dim = dim
        self.stem = stem
        self.layer1, self.layer2, self.layer3, self.layer4 = layers
        self.avgpool = nn.AdaptiveAvgPool3d(1)

    def forward(self, clips: Float[Tensor, "batch 3 frames height width"]) -> Float[Tensor, "batch dim"]:
        """Features of clips."""
        x = self.layer4(self.layer3(self.layer2(self.layer1(self.stem(clips)))))
        pooled: Tensor = self.avgpool(x)
        return pooled.flatten(1)
