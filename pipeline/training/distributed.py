"""Several processes that train one model: what they tell each other (NCCL between GPUs, gloo between CPUs).

A process alone is a group of one, for which nothing here does anything: no caller asks how many there are.
"""

import contextlib
import json
import logging
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Shaped
from torch import Tensor, distributed, nn


@dataclass(frozen=True)
class Group:
    """The processes of a run, as one of them sees them.

    Attributes:
        rank: number of this process; the first, 0, writes what is written.
        world: how many there are.
    """

    rank: int = 0
    world: int = 1

    @property
    def first(self) -> bool:
        """Whether this process is the one that writes."""
        return self.rank == 0

    def add_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Give every process the sum of all gradients; one that has none adds zeros. In one message, not hundreds."""
        if self.world == 1:
            return
        trained = [weight for weight in parameters if weight.requires_grad]
        gradients = [torch.zeros_like(weight) if weight.grad is None else weight.grad for weight in trained]
        flat = torch.cat([gradient.reshape(-1) for gradient in gradients])
        distributed.all_reduce(flat)
        for weight, summed in zip(trained, flat.split([weight.numel() for weight in trained]), strict=True):
            weight.grad = summed.view_as(weight)

    def rows(self, own: Shaped[Tensor, "own *shape"]) -> Shaped[Tensor, "all *shape"]:
        """The rows of all processes, in their order; each may have another number of them."""
        if self.world == 1:
            return own
        counts = [torch.zeros(1, dtype=torch.int64, device=own.device) for _ in range(self.world)]
        distributed.all_gather(counts, torch.tensor([len(own)], device=own.device))
        most = max(int(count) for count in counts)
        padded = torch.cat([own, own.new_zeros(most - len(own), *own.shape[1:])])
        found = [torch.zeros_like(padded) for _ in counts]
        distributed.all_gather(found, padded)
        return torch.cat([rows[: int(count)] for rows, count in zip(found, counts, strict=True)])

    def notes(self, own: Mapping[str, str], device: torch.device) -> dict[str, str]:
        """What all processes have noted, by key; of several notes under one key the first process's.

        Args:
            own: what this process has noted.
            device: that the processes exchange tensors on.
        """
        if self.world == 1:
            return dict(own)
        line = json.dumps(own).encode() + b"\n"
        lines = self.rows(torch.tensor(list(line), dtype=torch.uint8, device=device))
        found: dict[str, str] = {}
        for noted in bytes(lines.tolist()).splitlines():
            found = {**json.loads(noted), **found}
        return found

    def spread(self, tensors: Iterable[Tensor]) -> None:
        """Overwrite tensors by those of the first process."""
        if self.world > 1:
            for tensor in tensors:
                distributed.broadcast(tensor, 0)

    def wait(self) -> None:
        """Wait for all processes."""
        if self.world > 1:
            distributed.barrier()


ALONE = Group()


@contextlib.contextmanager
def joined(device: torch.device) -> Iterator[tuple[Group, torch.device]]:
    """The group that torchrun has started this process in, or of this process alone, and its device.

    Args:
        device: kind of device; on GPUs each process takes the one of its number.
    """
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world == 1:
        yield ALONE, device
        return
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(device)
    distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    group = Group(distributed.get_rank(), world)
    if not group.first:
        logging.getLogger().setLevel(logging.WARNING)  # once is enough
    try:
        yield group, device
    finally:
        distributed.destroy_process_group()
