"""Communication between the processes that train one model: NCCL between GPUs, gloo between CPUs.

A single process is a group of one, in which every method returns at once: callers do not distinguish the two cases.
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
class ProcessGroup:
    """The processes of a run, as seen by one of them.

    Attributes:
        rank: number of this process, from 0; process 0 writes the files.
        world_size: number of processes.
    """

    rank: int = 0
    world_size: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this process is the one that writes."""
        return self.rank == 0

    def sum_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Sum the gradients over all processes, in one flat buffer; a missing gradient counts as zero."""
        if self.world_size == 1:
            return
        trained = [parameter for parameter in parameters if parameter.requires_grad]
        gradients = [torch.zeros_like(weight) if weight.grad is None else weight.grad for weight in trained]
        flat = torch.cat([gradient.reshape(-1) for gradient in gradients])
        distributed.all_reduce(flat)
        for parameter, gradient in zip(trained, flat.split([weight.numel() for weight in trained]), strict=True):
            parameter.grad = gradient.view_as(parameter)

    def all_gather_rows(self, rows: Shaped[Tensor, "own *shape"]) -> Shaped[Tensor, "all *shape"]:
        """Concatenate the rows of all processes, by rank; the number of rows may differ between processes."""
        if self.world_size == 1:
            return rows
        counts = [torch.zeros(1, dtype=torch.int64, device=rows.device) for _ in range(self.world_size)]
        distributed.all_gather(counts, torch.tensor([len(rows)], device=rows.device))
        longest = max(int(count) for count in counts)
        padded = torch.cat([rows, rows.new_zeros(longest - len(rows), *rows.shape[1:])])
        gathered = [torch.zeros_like(padded) for _ in counts]
        distributed.all_gather(gathered, padded)
        return torch.cat([part[: int(count)] for part, count in zip(gathered, counts, strict=True)])

    def gather_messages(self, messages: Mapping[str, str], device: torch.device) -> dict[str, str]:
        """Merge the messages of all processes; under a key that several processes use, the lowest rank's wins.

        Args:
            messages: messages of this process, by key.
            device: the device on which the processes exchange tensors.
        """
        if self.world_size == 1:
            return dict(messages)
        line = json.dumps(messages).encode() + b"\n"
        encoded = self.all_gather_rows(torch.tensor(list(line), dtype=torch.uint8, device=device))
        merged: dict[str, str] = {}
        for of_process in bytes(encoded.tolist()).splitlines():
            merged = {**json.loads(of_process), **merged}
        return merged

    def broadcast(self, tensors: Iterable[Tensor]) -> None:
        """Overwrite the tensors, in place, by those of process 0."""
        if self.world_size > 1:
            for tensor in tensors:
                distributed.broadcast(tensor, 0)

    def barrier(self) -> None:
        """Wait until all processes have reached this call."""
        if self.world_size > 1:
            distributed.barrier()


SINGLE_PROCESS = ProcessGroup()


@contextlib.contextmanager
def init_process_group(device: torch.device) -> Iterator[tuple[ProcessGroup, torch.device]]:
    """Join the process group that torchrun started, if it did; yield the group and the device of this process.

    Args:
        device: the kind of device; on GPUs each process uses the one of its local rank.
    """
    world_size = int(os.environ.get("WORLD_SIZE", "1"))
    if world_size == 1:
        yield SINGLE_PROCESS, device
        return
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(device)
    distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    group = ProcessGroup(distributed.get_rank(), world_size)
    if not group.is_first:
        logging.getLogger().setLevel(logging.WARNING)  # only the first process logs its progress
    try:
        yield group, device
    finally:
        distributed.destroy_process_group()
