"""The two-channel network of Mahdisoltani et al. (2018), "Fine-grained Video Classification and Captioning", section 4.

Two convolutional channels, one of 3D and one of 2D filters, see all frames and never pool in time. A bidirectional LSTM
reads the concatenated features of the frames. A classifier and a caption decoder, either of which can be absent, read
its output. Facts that the paper does not state are those of the authors' code (package ptcap, branch tars_2stream):
the convolutions' sizes, the order of the channels (2D before 3D) and the linear layer after the LSTM. The text of the
paper has a BiLSTM of two layers; the parameter counts of its Table 2 hold for one layer, which is what the code has.
"""

from dataclasses import dataclass
from itertools import pairwise

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn import functional

from pipeline.config.two_channel import Pooling, TwoChannelWidths
from pipeline.training.precision import upcast_to_float32

DROPOUT = 0.5
"""Dropout of the encoder's output (code)."""
GROWTH = (1, 2, 4, 8, 8, 8)
"""Output channels of the six convolutions, in base channels."""
NUM_POOLED = 3
"""The first convolutions, which are followed by a pooling of 2 x 2 pixels; the others have no padding in space."""


class ConvBlock(nn.Module):
    """Convolution, BatchNorm, ReLU; three frames deep in the 3D channel, one frame deep in the 2D channel.

    Args:
        in_channels: input channels.
        out_channels: output channels.
        depth: frames that a filter sees, 3 or 1.
        padding: rows and columns of padding in space; time is always padded, so that no frame is lost.
    """

    def __init__(self, in_channels: int, out_channels: int, depth: int, padding: int) -> None:
        super().__init__()
        self.conv = nn.Conv3d(in_channels, out_channels, (depth, 3, 3), padding=(depth // 2, padding, padding))
        self.batchnorm = nn.BatchNorm3d(out_channels)

    def forward(
        self, x: Float[Tensor, "batch channels frames height width"]
    ) -> Float[Tensor, "batch out_channels frames out_height out_width"]:
        """Compute the activations."""
        return functional.relu(self.batchnorm(self.conv(x)))


class Channel(nn.Module):
    """One convolutional channel: six blocks, then the maximum over the remaining pixels of each frame.

    Args:
        base: channels of the first convolution.
        depth: frames that a filter sees: 3 in the 3D channel, 1 in the 2D channel.
    """

    def __init__(self, base: int, depth: int) -> None:
        super().__init__()
        widths = [3, *(base * factor for factor in GROWTH)]
        for number, (inner, outer) in enumerate(pairwise(widths), start=1):
            setattr(self, f"conv{number}", ConvBlock(inner, outer, depth, padding=int(number <= NUM_POOLED)))
        self.dim = widths[-1]

    def forward(self, clips: Float[Tensor, "batch 3 frames height width"]) -> Float[Tensor, "batch frames dim"]:
        """Compute one feature vector per frame; height and width are at least 56."""
        x = clips
        for number in range(1, len(GROWTH) + 1):
            x = getattr(self, f"conv{number}")(x)
            if number <= NUM_POOLED:
                x = functional.max_pool3d(x, (1, 2, 2))
        return functional.max_pool3d(x, (1, *x.shape[3:])).flatten(2).transpose(1, 2)


class TwoChannelEncoder(nn.Module):
    """Both channels, the bidirectional LSTM and a linear layer: one vector per frame.

    Args:
        widths: sizes of the layers. A channel of width 0 is absent.
        batchnorm: whether a BatchNorm stands between the linear layer and its ReLU; the paper has none.

    Attributes:
        dim: size of the vectors.
    """

    def __init__(self, widths: TwoChannelWidths, *, batchnorm: bool = False) -> None:
        super().__init__()
        self.dim = widths.encoder
        self.channel_3d = Channel(widths.base_3d, depth=3) if widths.base_3d else None
        self.channel_2d = Channel(widths.base_2d, depth=1) if widths.base_2d else None
        features = GROWTH[-1] * (widths.base_3d + widths.base_2d)
        self.lstm = nn.LSTM(features, widths.encoder // 2, batch_first=True, bidirectional=True)
        self.fc = nn.Linear(widths.encoder, widths.encoder)
        self.batchnorm = nn.BatchNorm1d(widths.encoder) if batchnorm else None
        self.dropout = nn.Dropout(DROPOUT)

    def forward(self, clips: Float[Tensor, "batch 3 frames height width"]) -> Float[Tensor, "batch frames dim"]:
        """Compute the vectors of all frames of a clip."""
        channels = [channel(clips) for channel in (self.channel_2d, self.channel_3d) if channel is not None]
        hidden, _ = self.lstm(torch.cat(channels, dim=2))
        encoding = self.fc(hidden)
        if self.batchnorm is not None:
            encoding = self.batchnorm(encoding.transpose(1, 2)).transpose(1, 2)
        features: Tensor = self.dropout(functional.relu(encoding))
        return features


class ActionClassifier(nn.Module):
    """Log-probabilities of the classes.

    Args:
        dim: size of the encoder's vectors.
        num_classes: number of classes.
        pooling: `features` classifies the mean vector (the paper); `scores` averages the log-probabilities of the
            frames (the code), which then sum to less than 1 after `exp`.
    """

    def __init__(self, dim: int, num_classes: int, pooling: Pooling) -> None:
        super().__init__()
        self.pooling = pooling
        self.linear = nn.Linear(dim, num_classes)

    def forward(self, features: Float[Tensor, "batch frames dim"]) -> Float[Tensor, "batch classes"]:
        """Compute the log-probabilities of a clip."""
        if self.pooling == "features":
            return functional.log_softmax(upcast_to_float32(self.linear(features.mean(1))), dim=-1)
        return functional.log_softmax(upcast_to_float32(self.linear(features)), dim=-1).mean(1)


class CaptionDecoder(nn.Module):
    """LSTM decoder that sees the encoding h of the clip at each step: as its initial state and beside each word.

    Args:
        dim: size of the encoder's vectors.
        widths: sizes of the layers.
        vocabulary: number of token ids.
        pooling: `features` maps the mean vector to h (the paper); `scores` averages the mapped vectors of the frames
            (the code).
    """

    def __init__(self, dim: int, widths: TwoChannelWidths, vocabulary: int, pooling: Pooling) -> None:
        super().__init__()
        self.pooling = pooling
        self.embedding = nn.Embedding(vocabulary, widths.embedding)
        self.mapping = nn.Linear(dim, widths.decoder)
        self.lstm = nn.LSTM(
            widths.embedding + widths.decoder, widths.decoder, num_layers=widths.decoder_layers, batch_first=True
        )
        self.linear = nn.Linear(widths.decoder, vocabulary)

    def pool(self, features: Float[Tensor, "batch frames dim"]) -> Float[Tensor, "batch hidden"]:
        """Compute the encoding h of a clip."""
        if self.pooling == "features":
            return functional.relu(self.mapping(features.mean(1)))
        return functional.relu(self.mapping(features)).mean(1)

    def forward(
        self, features: Float[Tensor, "batch frames dim"], tokens: Int64[Tensor, "batch steps"]
    ) -> Float[Tensor, "batch steps vocabulary"]:
        """Compute the log-probabilities of the next token after each token (teacher forcing).

        Args:
            features: vectors of the frames.
            tokens: GO, then the caption without its last token.
        """
        encoding = self.pool(features)
        log_probs, _ = self._advance(encoding, tokens, self._initial_state(encoding))
        return log_probs

    def generate(
        self, features: Float[Tensor, "batch frames dim"], first: int, num_steps: int
    ) -> tuple[Float[Tensor, "batch steps vocabulary"], Int64[Tensor, "batch steps"]]:
        """Decode greedily: the most likely token of a step is the input of the next step.

        Args:
            features: vectors of the frames.
            first: id of the first input, GO.
            num_steps: number of steps.

        Returns:
            log-probabilities of each step, and its token.
        """
        encoding = self.pool(features)
        state = self._initial_state(encoding)
        token = torch.full((len(features), 1), first, dtype=torch.int64, device=features.device)
        log_probs, tokens = [], []
        for _ in range(num_steps):
            step, state = self._advance(encoding, token, state)
            token = step.argmax(-1)
            log_probs.append(step)
            tokens.append(token)
        return torch.cat(log_probs, 1), torch.cat(tokens, 1)

    def _initial_state(self, encoding: Float[Tensor, "batch hidden"]) -> tuple[Tensor, Tensor]:
        repeated = encoding.expand(self.lstm.num_layers, *encoding.shape).contiguous()
        return repeated, repeated.clone()

    def _advance(
        self,
        encoding: Float[Tensor, "batch hidden"],
        tokens: Int64[Tensor, "batch steps"],
        state: tuple[Tensor, Tensor],
    ) -> tuple[Float[Tensor, "batch steps vocabulary"], tuple[Tensor, Tensor]]:
        repeated = encoding[:, None].expand(-1, tokens.shape[1], -1)
        hidden, state = self.lstm(torch.cat([self.embedding(tokens).to(encoding.dtype), repeated], dim=2), state)
        return functional.log_softmax(upcast_to_float32(self.linear(hidden)), dim=-1), state


@dataclass(frozen=True)
class RecognizerOutput:
    """What the network computes of a batch of clips.

    Attributes:
        features: vectors of the frames.
        class_log_probs: None without a classifier.
        token_log_probs: teacher-forced; None without a decoder or without tokens.
    """

    features: Float[Tensor, "batch frames dim"]
    class_log_probs: Float[Tensor, "batch classes"] | None
    token_log_probs: Float[Tensor, "batch steps vocabulary"] | None


class TwoChannelNetwork(nn.Module):
    """The encoder with its heads.

    Args:
        widths: sizes of the layers.
        num_classes: number of classes; 0 leaves the classifier out.
        vocabulary: number of token ids; 0 leaves the decoder out.
        pooling: how both heads average over time.
        batchnorm: whether the encoder has a BatchNorm before its last ReLU.
    """

    def __init__(
        self, widths: TwoChannelWidths, num_classes: int, vocabulary: int, pooling: Pooling, *, batchnorm: bool = False
    ) -> None:
        super().__init__()
        self.encoder = TwoChannelEncoder(widths, batchnorm=batchnorm)
        self.classifier = ActionClassifier(widths.encoder, num_classes, pooling) if num_classes else None
        self.decoder = CaptionDecoder(widths.encoder, widths, vocabulary, pooling) if vocabulary else None

    def forward(
        self,
        clips: Float[Tensor, "batch 3 frames height width"],
        tokens: Int64[Tensor, "batch steps"] | None = None,
    ) -> RecognizerOutput:
        """Compute features and the outputs of the heads.

        Args:
            clips: pixels divided by 64.
            tokens: inputs of the decoder, if it shall be teacher-forced.
        """
        features = self.encoder(clips)
        classes = self.classifier(features) if self.classifier is not None else None
        captions = self.decoder(features, tokens) if self.decoder is not None and tokens is not None else None
        return RecognizerOutput(features, classes, captions)
