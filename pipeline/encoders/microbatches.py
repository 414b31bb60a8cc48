"""How an epoch's clips are dealt out: steps of several parts, as if as many GPUs trained together.

A part is what one GPU of the published training saw of a step: its own batch, by whose own statistics it is
normalised. Whoever computes the parts, one process after another or several at a time, the step is the same: the mean
of the parts' gradients, and the running statistics of the first part, as under PyTorch's DistributedDataParallel.
"""

import contextlib
import itertools
from collections.abc import Iterator, Sequence
from typing import TypeVar

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from pipeline.training.distributed import Group

T = TypeVar("T")


def dealt(items: Sequence[T], batch_size: int, replicas: int) -> list[list[list[T]]]:
    """Parts of every step, in the items' order; the last step is split evenly, into fewer parts if need be.

    Args:
        items: of the epoch.
        batch_size: items of a part.
        replicas: parts of a step.
    """
    size = batch_size * replicas
    return [_split(items[first : first + size], batch_size, replicas) for first in range(0, len(items), size)]


def _split(items: Sequence[T], batch_size: int, replicas: int) -> list[list[T]]:
    if len(items) == batch_size * replicas:
        edges = [part * batch_size for part in range(replicas + 1)]
    else:
        parts = min(replicas, len(items))
        edges = [part * len(items) // parts for part in range(parts + 1)]
    return [list(items[start:end]) for start, end in itertools.pairwise(edges)]


def own(parts: Sequence[T], replicas: int, group: Group) -> list[T]:
    """The parts of a step that a process computes: each has as many neighbouring ones."""
    each = replicas // group.world
    return list(parts[group.rank * each : (group.rank + 1) * each])


@contextlib.contextmanager
def statistics(model: nn.Module, *, moving: bool) -> Iterator[None]:
    """Whether batches change the running statistics of normalisation; by which they are normalised is not touched."""
    norms = [] if moving else [module for module in model.modules() if isinstance(module, _BatchNorm)]
    for norm in norms:
        norm.track_running_stats = False
    try:
        yield
    finally:
        for norm in norms:
            norm.track_running_stats = True
