"""The network: the bi-modal encoder, and for each stream one head of convolutions for each size of kernel.

At each row of its stream, a head predicts for each anchor the centre and the length of an event, and how certain it is
that there is one: YOLO in one dimension (Redmon and Farhadi, 2018).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from pipeline.bimodal.attention import initialize_matrices
from pipeline.bimodal.encoder import STREAMS, BiModalEncoder, TransformerSizes
from pipeline.features.cache import FeatureNorm

CENTRE, LENGTH, OBJECT = range(3)
"""What a head predicts for an anchor: offset of the centre within the row (a logit), logarithm of length over anchor,
and a logit of there being an event."""


@dataclass(frozen=True)
class HeadSizes:
    """Sizes of the heads of a stream.

    Attributes:
        kernels: rows that the first convolution of each head sees; odd.
        channels: of the hidden layers.
        anchors: number of anchors.
    """

    kernels: tuple[int, ...]
    channels: tuple[int, ...]
    anchors: int


class BmtProposalNetwork(nn.Module):
    """The network: 212,182,176 parameters beside the encoder with the published sizes and 1,024 visual channels.

    Args:
        dims: channels of each of the two `STREAMS`.
        sizes: sizes of the encoder.
        heads: sizes of the heads of each stream.

    Attributes:
        is_encoder_frozen: whether the encoder stays as it is; then it has no dropout in training either.
    """

    def __init__(self, dims: Mapping[str, int], sizes: TransformerSizes, heads: Mapping[str, HeadSizes]) -> None:
        super().__init__()
        self.is_encoder_frozen = False
        self.feature_norms = nn.ModuleDict({name: FeatureNorm(dims[name]) for name in STREAMS})
        self.encoder = BiModalEncoder(dims, sizes)
        initialize_matrices(self.encoder)
        self.heads = nn.ModuleDict(
            {
                name: nn.ModuleList(
                    _head(dims[name], kernel, heads[name], sizes.dropout) for kernel in of_stream.kernels
                )
                for name, of_stream in heads.items()
            }
        )
        for name, of_stream in heads.items():
            self.register_buffer(f"{name}_anchors", torch.ones(of_stream.anchors))

    def anchors(self, stream: str) -> Float[Tensor, " anchors"]:
        """Return the anchors of a stream [s]."""
        anchors: Tensor = getattr(self, f"{stream}_anchors")
        return anchors

    def freeze_encoder(self) -> None:
        """Keep the encoder as it is."""
        self.is_encoder_frozen = True
        self.encoder.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> "BmtProposalNetwork":
        """Set the mode of training; a frozen encoder stays in that of evaluation."""
        super().train(mode)
        if self.is_encoder_frozen:
            self.encoder.eval()
        return self

    def forward(
        self, streams: Mapping[str, Float[Tensor, "videos _ _"]], masks: Mapping[str, Bool[Tensor, "videos _"]]
    ) -> dict[str, Float[Tensor, "videos heads anchors _ 3"]]:
        """Predict events in both streams.

        Args:
            streams: rows of each stream.
            masks: true for rows, false for padding.

        Returns:
            predictions of each stream: `CENTRE`, `LENGTH` and `OBJECT` of each row; without meaning in the padding.
        """
        normed = {name: self.feature_norms[name](rows) for name, rows in streams.items()}
        encoded = self.encoder(normed, masks)
        # The convolutions see zeros after the last row, however long other videos of the batch are.
        return self.detect({name: rows.masked_fill(~masks[name][..., None], 0.0) for name, rows in encoded.items()})

    def detect(
        self, encoded: Mapping[str, Float[Tensor, "videos _ _"]]
    ) -> dict[str, Float[Tensor, "videos heads anchors _ 3"]]:
        """Apply the heads to encoded rows."""
        predictions = {}
        for name in STREAMS:
            rows = encoded[name].transpose(1, 2)
            heads = self.heads[name]
            assert isinstance(heads, nn.ModuleList)
            outputs = [head(rows).unflatten(1, (-1, 3)).transpose(2, 3) for head in heads]
            predictions[name] = torch.stack(outputs, 1)
        return predictions


def _head(dim: int, kernel: int, sizes: HeadSizes, dropout: float) -> nn.Sequential:
    layers: list[nn.Module] = []
    widths: Sequence[int] = (dim, *sizes.channels)
    for width, channels in zip(widths, sizes.channels, strict=False):
        size = 1 if layers else kernel
        layers += [nn.Conv1d(width, channels, size, padding=size // 2), nn.Dropout(dropout), nn.ReLU()]
    return nn.Sequential(*layers, nn.Conv1d(widths[-1], 3 * sizes.anchors, 1 if layers else kernel))
