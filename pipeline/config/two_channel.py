"""Sizes of the two-channel network (Mahdisoltani et al., 2018, Table 2). This module imports no torch."""

import re
from dataclasses import dataclass
from typing import Literal

from pipeline.errors import PipelineError

Pooling = Literal["features", "scores"]
"""What is averaged over time: the features, before the heads (the paper), or the outputs of the heads (the code)."""

TWO_CHANNEL_SIZES = ("M(256-0)", "M(512-0)", "M(384-128)", "M(256-256)", "M(128-384)", "M(0-512)", "M(0-256)")
"""The seven sizes of Table 2: features of the 3D channel, features of the 2D channel."""

FEATURES_PER_BASE = 8
"""A channel has eight times as many features as its first convolution has filters."""


@dataclass(frozen=True)
class TwoChannelWidths:
    """Sizes of the layers.

    Attributes:
        base_3d: filters of the first convolution of the 3D channel; 0 leaves the channel out.
        base_2d: the same of the 2D channel.
        encoder: size of the encoder's vectors: both directions of the LSTM, and the linear layer.
        embedding: size of a word embedding.
        decoder: hidden size of the decoder.
        decoder_layers: layers of the decoder's LSTM.
    """

    base_3d: int
    base_2d: int
    encoder: int = 1024
    embedding: int = 256
    decoder: int = 1024
    decoder_layers: int = 2


def parse_size(size: str) -> tuple[int, int]:
    """Return the base channels of the 3D and the 2D channel of a size: `M(256-128)` has 32 and 16.

    Raises:
        PipelineError: not of the form `M(a-b)`, with multiples of 8 that are not both 0.
    """
    match = re.fullmatch(r"M\((\d+)-(\d+)\)", size)
    features = [int(number) for number in match.groups()] if match else []
    if not any(features) or any(number % FEATURES_PER_BASE for number in features):
        raise PipelineError(
            f"{size!r} is no size of the two-channel network: expected M(a-b) with the features of the 3D and the 2D "
            f"channel, multiples of {FEATURES_PER_BASE}; the paper has {', '.join(TWO_CHANNEL_SIZES)}"
        )
    base_3d, base_2d = (number // FEATURES_PER_BASE for number in features)
    return base_3d, base_2d
