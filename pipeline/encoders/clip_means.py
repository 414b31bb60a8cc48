"""Means over clips: of a batch, with the number of clips that count, and of an epoch."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from pipeline.training.distributed import ProcessGroup


@dataclass(frozen=True)
class CountedMean:
    """A mean over clips of a batch.

    Attributes:
        value: the mean; 0 if no clip counts.
        count: number of clips that count.
    """

    value: Float[Tensor, ""]
    count: Int64[Tensor, ""]


def mean_over_clips(values: Float[Tensor, "batch"], mask: Bool[Tensor, "batch"]) -> CountedMean:
    """Compute the mean over the clips that count; the mean of no clips is 0, not NaN.

    Args:
        values: a value of each clip.
        mask: whether a clip counts.
    """
    count = mask.sum()
    return CountedMean((values * mask).sum() / count.clamp(min=1), count)


class EpochMeans:
    """Means over the clips of an epoch, summed on the device so that no step waits for a number.

    Args:
        names: names of the means.
        device: device of the sums.
        group: the processes whose clips count.
        state: earlier sums and counts, by process.
    """

    def __init__(
        self,
        names: Sequence[str],
        device: torch.device,
        group: ProcessGroup,
        state: Float[Tensor, "processes names 2"] | None = None,
    ) -> None:
        self._names, self._group, self._device = list(names), group, device
        self._sums = torch.zeros(len(self._names), 2, dtype=torch.float64, device=device)
        if state is not None and len(state) == group.world_size:
            self._sums += state[group.rank].to(device)
        elif state is not None and group.is_first:
            self._sums += state.sum(0).to(device)

    def add(self, name: str, mean: CountedMean) -> None:
        """Add the mean of a batch."""
        total = mean.value.detach().double() * mean.count
        self._sums[self._names.index(name)] += torch.stack([total, mean.count.double()])

    def state(self) -> Float[Tensor, "processes names 2"]:
        """Return sums and counts by process, to resume from."""
        return self._group.all_gather_rows(self._sums[None]).cpu()

    def means(self, prefix: str) -> dict[str, float]:
        """Return every mean that at least one clip contributes to, named `<prefix>_<name>`."""
        sums = self.state().sum(0).tolist()
        return {
            f"{prefix}_{name}": total / count for name, (total, count) in zip(self._names, sums, strict=True) if count
        }
