"""Targets and losses of the proposal generator (Iashin and Rahtu, 2020, section 3.3; Redmon and Farhadi, 2018).

An event belongs to the row that holds its centre, and to the anchor that is most like it in length. All other anchors
of all rows are negatives. The targets are the same for all heads of a stream.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor
from torch.nn import functional as F  # noqa: N812  # the usual name

from pipeline.features.time_grid import ClipGrid
from pipeline.localization.bmt.network import CENTRE, LENGTH, OBJECT

MIN_EVENT_S = 0.1
"""Events count as at least this long [s], because their length has a logarithm."""


@dataclass(frozen=True)
class RowTimes:
    """The times that the rows of a stream stand for: consecutive intervals around the centres of its clips.

    Attributes:
        start: start of the first interval [s].
        stride: length of an interval [s].
    """

    start: float
    stride: float

    @classmethod
    def of_grid(cls, grid: ClipGrid) -> "RowTimes":
        """Return the times of the rows of a feature; those of adjoining clips are the times of the clips."""
        return cls((grid.frames - grid.stride) / 2 / grid.fps, grid.stride / grid.fps)


@dataclass(frozen=True)
class StreamTargets:
    """Targets of the heads of a stream, sorted by video, anchor and row.

    Attributes:
        index: video, anchor and row of each positive.
        offset: position of the event's centre within the row, from 0 to 1.
        log_length: logarithm of the event's length over the anchor.
    """

    index: Int64[Tensor, "positives 3"]
    offset: Float[Tensor, " positives"]
    log_length: Float[Tensor, " positives"]

    def to(self, device: torch.device) -> "StreamTargets":
        """Move the targets to a device."""
        return StreamTargets(self.index.to(device), self.offset.to(device), self.log_length.to(device))


def assign_events(
    events: Sequence[Sequence[tuple[float, float]]],
    num_rows: Sequence[int],
    times: RowTimes,
    anchors: Float[np.ndarray, " anchors"],
) -> StreamTargets:
    """Assign the events of each video to rows and anchors.

    Of two events with the same row and anchor, the later one in the list counts.

    Args:
        events: start and end of the events of each video [s].
        num_rows: number of rows of each video. An event before the first or after the last row belongs to that row.
        times: of the rows.
        anchors: lengths [s].
    """
    positives: dict[tuple[int, int, int], tuple[float, float]] = {}
    for video, (of_video, rows) in enumerate(zip(events, num_rows, strict=True)):
        for start, end in of_video:
            length = max(end - start, MIN_EVENT_S)
            place = ((start + end) / 2 - times.start) / times.stride
            row = int(np.floor(place))
            anchor = int((np.minimum(anchors, length) / np.maximum(anchors, length)).argmax())
            key = video, anchor, min(max(row, 0), rows - 1)
            positives[key] = place - row, float(np.log(length / anchors[anchor]))
    index = sorted(positives)
    values = torch.tensor([positives[key] for key in index], dtype=torch.float32).reshape(-1, 2)
    return StreamTargets(torch.tensor(index, dtype=torch.int64).reshape(-1, 3), values[:, 0], values[:, 1])


@dataclass(frozen=True)
class StreamLosses:
    """Losses of a stream, each a mean, summed over the heads.

    Attributes:
        offset: squared error of the centres of positives.
        length: squared error of the logarithms of lengths of positives.
        positive: cross-entropy of positives.
        negative: cross-entropy of negatives.
    """

    offset: Float[Tensor, ""]
    length: Float[Tensor, ""]
    positive: Float[Tensor, ""]
    negative: Float[Tensor, ""]

    def total(self, negative_weight: float) -> Float[Tensor, ""]:
        """Return the sum; the negatives count `negative_weight` times."""
        return self.offset + self.length + self.positive + negative_weight * self.negative


def compute_stream_losses(
    predictions: Float[Tensor, "videos heads anchors rows 3"],
    targets: StreamTargets,
    mask: Bool[Tensor, "videos rows"],
) -> StreamLosses:
    """Compute the losses of all heads of a stream. Losses of positives are 0 if there are none.

    Args:
        predictions: output of the network.
        targets: of the stream.
        mask: true for rows, false for padding, which is neither positive nor negative.
    """
    video, anchor, row = targets.index.T
    positives = predictions[video, :, anchor, row]
    count = max(len(row), 1)
    offset = (positives[..., CENTRE].sigmoid() - targets.offset[:, None]).square().sum() / count
    length = (positives[..., LENGTH] - targets.log_length[:, None]).square().sum() / count
    positive = F.softplus(-positives[..., OBJECT]).sum() / count
    is_negative = mask[:, None].repeat(1, predictions.shape[2], 1)
    is_negative[video, anchor, row] = False
    costs = F.softplus(predictions[..., OBJECT]) * is_negative[:, None]
    negative = costs.sum() / is_negative.sum().clamp_min(1)
    return StreamLosses(offset, length, positive, negative)
