"""The encoder of clips: all feature rows of all streams become instances of one size, one after the other.

CLIP-DAP (Yang et al., 2022, section 3.1, equation 5) encodes each stream by a linear layer, layer normalisation and
dropout, and concatenates the streams in time. There is no embedding of positions or streams. ARB and NACF (Yang et al.,
2021) use a highway layer (Srivastava et al., 2015) and batch normalisation in place of the layer normalisation.
"""

from collections.abc import Mapping
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from pipeline.captioning.instances import Instances

LAYER_NORM_EPS = 1e-12
"""As published; PyTorch's own default is 1e-5."""

StreamLayers = Literal["layer_norm", "highway"]
"""What follows the linear layer of a stream: layer normalisation, or a highway layer and batch normalisation."""


class ClipEncoder(nn.Module):
    """Encodes the feature rows of an event.

    Args:
        streams: number of channels of each stream, in the order of the instances.
        hidden: size of an instance.
        dropout: dropout on the instances.
        layers: what follows the linear layer of each stream.
    """

    def __init__(self, streams: Mapping[str, int], hidden: int, dropout: float, layers: StreamLayers) -> None:
        super().__init__()
        encoders = {"layer_norm": LayerNormEncoder, "highway": HighwayEncoder}
        self.streams = nn.ModuleDict({name: encoders[layers](dim, hidden, dropout) for name, dim in streams.items()})

    def forward(self, rows: Mapping[str, Instances]) -> Instances:
        """Encode the feature rows of each stream."""
        values = [encode(rows[name].values, rows[name].mask) for name, encode in self.streams.items()]
        return Instances(torch.cat(values, 1), torch.cat([rows[name].mask for name in self.streams], 1))


class LayerNormEncoder(nn.Module):
    """Linear layer, layer normalisation, dropout.

    Args:
        dim: channels of the stream.
        hidden: size of the output.
        dropout: dropout on the output.
    """

    def __init__(self, dim: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.linear = nn.Linear(dim, hidden)
        self.norm = nn.LayerNorm(hidden, LAYER_NORM_EPS)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, rows: Float[Tensor, "events rows dim"], mask: Bool[Tensor, "events rows"]
    ) -> Float[Tensor, "events rows hidden"]:
        """Encode feature rows; the mask decides nothing, because rows are encoded one by one."""
        encoded: Tensor = self.dropout(self.norm(self.linear(rows)))
        return encoded.masked_fill(~mask[..., None], 0.0)


class HighwayEncoder(nn.Module):
    """Linear layer, highway layer, batch normalisation, dropout.

    In training mode, an event depends on the other events of its batch through the batch normalisation. Padding does
    not enter its statistics.

    Args:
        dim: channels of the stream.
        hidden: size of the output.
        dropout: dropout on the output.
    """

    def __init__(self, dim: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.linear = nn.Linear(dim, hidden)
        self.transform = nn.Linear(hidden, hidden)
        self.gate = nn.Linear(hidden, hidden)
        self.norm = nn.BatchNorm1d(hidden)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, rows: Float[Tensor, "events rows dim"], mask: Bool[Tensor, "events rows"]
    ) -> Float[Tensor, "events rows hidden"]:
        """Encode feature rows."""
        projected = self.linear(rows[mask])
        gate = torch.sigmoid(self.gate(projected))
        mixed = gate * projected + (1 - gate) * torch.tanh(self.transform(projected))
        encoded = self.dropout(self._normalize(mixed))
        return encoded.new_zeros(*mask.shape, encoded.shape[1]).masked_scatter(mask[..., None], encoded)

    def _normalize(self, rows: Float[Tensor, "rows hidden"]) -> Float[Tensor, "rows hidden"]:
        if self.training and len(rows) == 1:  # one row has no deviation: PyTorch refuses it
            norm = self.norm
            return nn.functional.batch_norm(
                rows, norm.running_mean, norm.running_var, norm.weight, norm.bias, training=False, eps=norm.eps
            )
        normalized: Tensor = self.norm(rows)
        return normalized


def init_weights(module: nn.Module) -> None:
    """Initialise linear layers and embeddings as published: Xavier-uniform weights, zero biases (`Module.apply`)."""
    if isinstance(module, nn.Linear | nn.Embedding):
        nn.init.xavier_uniform_(module.weight)
    if isinstance(module, nn.Linear) and module.bias is not None:
        nn.init.zeros_(module.bias)
