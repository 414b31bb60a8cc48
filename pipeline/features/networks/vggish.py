"""VGGish (Hershey et al., 2017), and the PCA that AudioSet's features were published after.

Modules are named as in torchvggish, so that its published weights fit by name.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from pipeline.features.networks.weights import initialise

DIM = 128
_LIMIT = 2.0
"""What the PCA's output is clipped to before it is quantised."""


class VGGish(nn.Module):
    """The network, with random weights.

    Args:
        relu: whether the last layer is rectified too, as in torchvggish, torchaudio and all features that were made
            with them. In TensorFlow's VGGish of today it is not (torchvggish, issue 24).

    Attributes:
        pca: what the features go through at last: nothing, or a `PCA`.
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
        initialise(self)

    def forward(self, examples: Float[Tensor, "batch 96 64"]) -> Float[Tensor, "batch 128"]:
        """Features of log-mel spectrograms."""
        x = self.features(examples[:, None])
        # Channels last, as TensorFlow orders what the first linear layer sees.
        out: Tensor = self.pca(self.embeddings(x.permute(0, 2, 3, 1).flatten(1)))
        return out


class PCA(nn.Module):
    """Whitening, clipping and quantisation to 8 bits; random until it is loaded.

    Its published parameters have one element that saturates channel 127 (tensorflow/models, issue 5000).
    """

    def __init__(self) -> None:
        super().__init__()
        self.pca_eigen_vectors = nn.Parameter(torch.linalg.qr(torch.randn(DIM, DIM))[0])
        self.pca_means = nn.Parameter(torch.zeros(DIM))

    def forward(self, features: Float[Tensor, "batch 128"]) -> Float[Tensor, "batch 128"]:
        """Whole numbers from 0 to 255."""
        whitened = (features - self.pca_means) @ self.pca_eigen_vectors.T
        return ((whitened.clamp(-_LIMIT, _LIMIT) + _LIMIT) * (255 / (2 * _LIMIT))).round()
