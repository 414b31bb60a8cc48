"""Features of a proposal: the maximum over its rows, and over the rows before, in and after it.

The activity feature of a proposal (Zeng et al., 2019, section 3.4) is pooled over [start, end]. Its completeness
feature has three parts: the context before it, itself, and the context after it; a context is half as long as the
proposal. The context ends with the video.

A row belongs to a span if its clip starts at or after the start of the span and ends with it, rounded outwards. If no
two rows belong to a span, its feature is the row in which the span starts. The last row of a video is never the end of
a span of several rows, as in the authors' code: their last clip may be incomplete.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

CONTEXT = 0.5
"""Length of the context on each side, in lengths of the proposal."""

Spans = Float[np.ndarray, "proposals 2"]


@dataclass(frozen=True)
class RowGrid:
    """Where the rows of a feature lie, in the unit of the spans.

    Attributes:
        stride: from the start of one clip to the start of the next.
        clip: length of a clip.
    """

    stride: float
    clip: float

    def rows_of(self, spans: Spans, num_rows: int) -> tuple[Int64[np.ndarray, " spans"], Int64[np.ndarray, " spans"]]:
        """Return the first and the last row of each span; the last one is at least the first one.

        Args:
            spans: start and end.
            num_rows: rows of the video, at least one.
        """
        first = np.clip(np.floor(spans[:, 0] / self.stride), 0, num_rows - 1).astype(np.int64)
        last = np.minimum(np.ceil((spans[:, 1] - self.clip) / self.stride), num_rows - 2).astype(np.int64)
        return first, np.maximum(first, last)


@dataclass(frozen=True)
class ProposalFeatures:
    """Pooled features of the proposals of a video.

    Attributes:
        activity: of the proposals themselves.
        completeness: of their context before, themselves, and their context after.
    """

    activity: Float[Tensor, "proposals dim"]
    completeness: Float[Tensor, "proposals dim3"]


def extend(segments: Spans, duration: float) -> Spans:
    """Return the proposals with their contexts, within the video.

    Args:
        segments: start and end of the proposals.
        duration: of the video, in the same unit.
    """
    context = CONTEXT * (segments[:, 1] - segments[:, 0])
    return np.stack([np.maximum(segments[:, 0] - context, 0.0), np.minimum(segments[:, 1] + context, duration)], 1)


def pool_proposals(
    rows: Float[Tensor, "rows dim"], segments: Spans, extended: Spans, grid: RowGrid
) -> ProposalFeatures:
    """Pool the features of proposals.

    Args:
        rows: features of the video, at least one row.
        segments: start and end of the proposals.
        extended: start of the context before, and end of the context after each proposal, see `extend`.
        grid: of the rows.
    """
    before = np.stack([extended[:, 0], segments[:, 0]], 1)
    after = np.stack([segments[:, 1], extended[:, 1]], 1)
    pooled = pool_spans(rows, np.concatenate([before, segments, after]), grid)
    parts = pooled.view(3, len(segments), -1)
    return ProposalFeatures(parts[1], torch.cat(list(parts), 1))


def pool_spans(rows: Float[Tensor, "rows dim"], spans: Spans, grid: RowGrid) -> Float[Tensor, "spans dim"]:
    """Compute the maximum of the rows of each span.

    A span is covered by two overlapping ranges whose length is a power of 2; the maxima of all such ranges are computed
    once for each power.

    Args:
        rows: features of the video, at least one row.
        spans: start and end.
        grid: of the rows.
    """
    first, last = (torch.from_numpy(edge).to(rows.device) for edge in grid.rows_of(spans, len(rows)))
    powers = torch.frexp((last - first + 1).double()).exponent - 1
    pooled = torch.empty(len(spans), rows.shape[1], dtype=rows.dtype, device=rows.device)
    maxima = rows
    for power in range(int(powers.max()) + 1 if len(spans) else 0):
        if power:
            half = 2 ** (power - 1)
            maxima = torch.maximum(maxima[:-half], maxima[half:])
        chosen = powers == power
        pooled[chosen] = torch.maximum(maxima[first[chosen]], maxima[last[chosen] + 1 - 2**power])
    return pooled
