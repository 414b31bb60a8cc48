"""Perceptron and LSTM as classifiers of frozen features (Mahdisoltani et al., 2018, Table 1 and Figure 4).

The paper states the sizes of the networks. Their training is ours: Adam with a learning rate that falls linearly to 0,
for a number of steps that does not depend on the number of clips, on standardised features.
"""

from collections.abc import Iterator

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence, pad_sequence

from pipeline.config.transfer_features import LstmSettings, PerceptronSettings
from pipeline.encoders.transfer import LabelledFeatures
from pipeline.features.cache import FeatureNorm
from pipeline.training.seeds import numpy_generator, seed_all

NetworkSettings = PerceptronSettings | LstmSettings
TEST_BATCH = 256
"""Clips per batch of predictions."""


class PerceptronClassifier(nn.Module):
    """Two linear layers that classify every row.

    Args:
        dim: channels of a row.
        hidden: hidden units.
        num_classes: number of classes.
    """

    def __init__(self, dim: int, hidden: int, num_classes: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(dim, hidden), nn.ReLU(), nn.Linear(hidden, num_classes))

    def forward(
        self, rows: Float[Tensor, "clips rows dim"], mask: Bool[Tensor, "clips rows"]
    ) -> tuple[Float[Tensor, "clips rows classes"], Bool[Tensor, "clips rows"]]:
        """Compute the logits of each row, and return the mask of the rows that exist."""
        return self.layers(rows), mask


class LstmClassifier(nn.Module):
    """An LSTM over the rows; the mean of its outputs is classified.

    Args:
        dim: channels of a row.
        hidden: hidden units of each direction.
        num_classes: number of classes.
        bidirectional: whether the rows are read in both directions.
    """

    def __init__(self, dim: int, hidden: int, num_classes: int, *, bidirectional: bool) -> None:
        super().__init__()
        self.lstm = nn.LSTM(dim, hidden, batch_first=True, bidirectional=bidirectional)
        self.linear = nn.Linear(hidden * (2 if bidirectional else 1), num_classes)

    def forward(
        self, rows: Float[Tensor, "clips rows dim"], mask: Bool[Tensor, "clips rows"]
    ) -> tuple[Float[Tensor, "clips 1 classes"], Bool[Tensor, "clips 1"]]:
        """Compute the logits of each clip, as if it had one row."""
        lengths = mask.sum(1)
        packed = pack_padded_sequence(rows, lengths.cpu(), batch_first=True, enforce_sorted=False)
        outputs, _ = pad_packed_sequence(self.lstm(packed)[0], batch_first=True)  # zeros beyond the end of a clip
        return self.linear(outputs.sum(1) / lengths[:, None])[:, None], mask[:, :1]


def build_classifier(dim: int, num_classes: int, settings: NetworkSettings) -> nn.Module:
    """Build a network with the random weights of torch's generator."""
    if isinstance(settings, PerceptronSettings):
        return PerceptronClassifier(dim, settings.hidden_dim, num_classes)
    return LstmClassifier(dim, settings.hidden_dim, num_classes, bidirectional=settings.bidirectional)


def network_accuracy(
    train: LabelledFeatures,
    test: LabelledFeatures,
    num_classes: int,
    settings: NetworkSettings,
    device: torch.device,
    *keys: str | int,
) -> float:
    """Train a network on some clips, and compute the share of other clips that it classifies correctly.

    Args:
        train: clips to train on.
        test: clips to classify.
        num_classes: number of classes.
        settings: size and training of the network.
        device: device of the network.
        keys: what the initial weights and the batches depend on.
    """
    norm = FeatureNorm(train.rows(0, "middle").shape[1])
    norm.fit(_read(train, index, settings) for index in range(len(train.videos)))
    seed_all("transfer", "weights", *keys)
    network = nn.Sequential(norm, build_classifier(norm.mean.shape[0], num_classes, settings))
    network.to(device)
    _train(network, train, settings, device, *keys)
    return _accuracy(network, test, settings, device)


def _train(
    network: nn.Sequential, train: LabelledFeatures, settings: NetworkSettings, device: torch.device, *keys: str | int
) -> None:
    norm, classifier = network
    optimizer = torch.optim.Adam(classifier.parameters(), lr=settings.lr)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, total_iters=settings.steps)
    batches = _draw_batches(len(train.videos), settings.batch_size, *keys)
    for _ in range(settings.steps):
        indices = next(batches)
        rows, mask, classes = _collate(train, indices, settings, device)
        logits, row_mask = classifier(norm(rows), mask)
        targets = classes[:, None].expand(row_mask.shape)
        loss = functional.cross_entropy(logits[row_mask], targets[row_mask])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        schedule.step()


@torch.no_grad()
def _accuracy(network: nn.Sequential, test: LabelledFeatures, settings: NetworkSettings, device: torch.device) -> float:
    """Compute the accuracy; the probabilities of the rows of a clip are averaged."""
    norm, classifier = network
    correct = 0
    for first in range(0, len(test.videos), TEST_BATCH):
        indices = np.arange(first, min(first + TEST_BATCH, len(test.videos)))
        rows, mask, classes = _collate(test, indices, settings, device)
        logits, row_mask = classifier(norm(rows), mask)
        probabilities = (logits.softmax(-1) * row_mask[..., None]).sum(1) / row_mask.sum(1, keepdim=True)
        correct += int((probabilities.argmax(1) == classes).sum())
    return correct / len(test.videos)


def _draw_batches(count: int, size: int, *keys: str | int) -> Iterator[Int64[np.ndarray, " batch"]]:
    """Yield batches for ever: all clips in random order, then all again in another order."""
    rng = numpy_generator("transfer", "batches", *keys)
    while True:
        order = rng.permutation(count)
        for first in range(0, count, size):
            yield order[first : first + size]


def _read(clips: LabelledFeatures, index: int, settings: NetworkSettings) -> Float[Tensor, "rows dim"]:
    kind = settings.rows if isinstance(settings, PerceptronSettings) else "each"
    return clips.rows(index, kind)


def _collate(
    clips: LabelledFeatures, indices: Int64[np.ndarray, " batch"], settings: NetworkSettings, device: torch.device
) -> tuple[Float[Tensor, "batch rows dim"], Bool[Tensor, "batch rows"], Int64[Tensor, " batch"]]:
    """Return the rows of some clips, the mask of those that exist, and the classes."""
    rows = [_read(clips, int(index), settings) for index in indices]
    lengths = torch.tensor([len(of_clip) for of_clip in rows])
    padded = pad_sequence(rows, batch_first=True)
    mask = torch.arange(padded.shape[1])[None] < lengths[:, None]
    classes = torch.from_numpy(clips.classes[indices])
    return padded.to(device), mask.to(device), classes.to(device)
