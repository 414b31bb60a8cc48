"""VGGish (Hershey et al., 2017), and the PCA of AudioSet's published features.

Modules have the names of torchvggish, so that its published weights fit by name.
"""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from pipeline.config.extractors import VGGISH_PCA, VggishFeatureSettings
from pipeline.features.networks.base import BuildContext, BuiltExtractor
from pipeline.features.networks.log_mel import log_mel
from pipeline.features.networks.weights import drop_prefixes, init_weights

DIM = 128
_CLIP_TO = 2.0
"""The output of the PCA is clipped to [-2, 2] before it is quantised."""


class VGGish(nn.Module):
    """VGGish with random weights.

    Args:
        relu: apply ReLU to the last layer too, as torchvggish and torchaudio do. TensorFlow's current VGGish does not
            (torchvggish, issue 24).

    Attributes:
        pca: last layer: the identity, or a `PCA`.
    """

    def __init__(self, *, relu: bool) -> None:
        super().__init__()
        self.features = nn.Sequential()
        channels = 1
        for widths in ((64,), (128,), (256, 256), (512, 512)):
            for width in widths:
                self.features.extend([nn.Conv2d(channels, width, 3, padding=1), nn.ReLU(inplace=True)])
                channels = width
            self.features.append(nn.MaxPool2d(2))
        self.embeddings = nn.Sequential(
            nn.Linear(512 * 6 * 4, 4096), nn.ReLU(inplace=True), nn.Linear(4096, 4096), nn.ReLU(inplace=True)
        )
        self.embeddings.append(nn.Linear(4096, DIM))
        if relu:
            self.embeddings.append(nn.ReLU(inplace=True))
        self.pca: nn.Module = nn.Identity()
        init_weights(self)

    def forward(self, examples: Float[Tensor, "batch 96 64"]) -> Float[Tensor, "batch 128"]:
        """Compute the features of log-mel spectrograms."""
        x = self.features(examples[:, None])
        # The weights of the first linear layer come from TensorFlow, which puts channels last.
        out: Tensor = self.pca(self.embeddings(x.permute(0, 2, 3, 1).flatten(1)))
        return out


class PCA(nn.Module):
    """Whitening, clipping and quantisation to 8 bits, with random parameters.

    One element of the published parameters saturates channel 127 (tensorflow/models, issue 5000).
    """

    def __init__(self) -> None:
        super().__init__()
        self.pca_eigen_vectors = nn.Parameter(torch.linalg.qr(torch.randn(DIM, DIM))[0])
        self.pca_means = nn.Parameter(torch.zeros(DIM))

    def forward(self, features: Float[Tensor, "batch 128"]) -> Float[Tensor, "batch 128"]:
        """Transform features into integers from 0 to 255, as floats."""
        whitened = (features - self.pca_means) @ self.pca_eigen_vectors.T
        return ((whitened.clamp(-_CLIP_TO, _CLIP_TO) + _CLIP_TO) * (255 / (2 * _CLIP_TO))).round()


def build(context: BuildContext[VggishFeatureSettings]) -> BuiltExtractor:
    """Build VGGish. It sees one log-mel spectrogram of 96 spectra per window."""
    with context.source.seeded_init():
        network = VGGish(relu=context.settings.relu)
        pca = PCA()
    metadata: dict[str, Any] = context.load_weights(network, drop_prefixes())
    metadata |= {"relu": context.settings.relu, "pca": None}
    if context.settings.pca:
        metadata["pca"] = context.source.load(pca, VGGISH_PCA, drop_prefixes(), main=False)
        network.pca = pca
    return BuiltExtractor(network, log_mel, metadata)
