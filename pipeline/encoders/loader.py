"""Batches of clips, ready for the network: read by workers that live as long as the loader, prepared on the device.

A clip that cannot be read never ends an epoch: its row of the batch is masked, and its video is kept account of.
"""

import contextlib
import os
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from pipeline.config.pretrain_encoder import Clip
from pipeline.encoders.clip_reader import ClipReader
from pipeline.encoders.clips import Sample
from pipeline.encoders.geometry import prepare_batch
from pipeline.errors import PipelineError

PREFETCH = 2
"""Batches that each worker reads ahead."""


@dataclass(frozen=True)
class Batch:
    """Clips as the network takes them.

    Attributes:
        samples: what they are.
        clips: on the device; a row that could not be read shows another clip of the batch (zeros if there is none), so
            that batch statistics stay those of pictures.
        readable: which rows are what their sample says; the others must count for nothing.
        complete: whether all of them are.
        globals: the global feature of each clip's video, where the loader has one.
    """

    samples: list[Sample]
    clips: Float[Tensor, "batch 3 frames crop crop"]
    readable: Bool[Tensor, "batch"]
    complete: bool
    globals: Float[Tensor, "batch dim"] | None


@dataclass(frozen=True)
class Unreadable:
    """What a worker hands over in place of frames: an error as a value, since an exception would end the epoch."""

    why: str


Read = list[UInt8[Tensor, "_ _ _ 3"] | Unreadable]
"""Frames of each clip of a batch."""
Packed = tuple[UInt8[Tensor, "bytes"], list[tuple[int, ...] | Unreadable]]
"""The same from a worker: all clips end to end, and each one's shape. One shared memory, one copy to the device."""


class Loader:
    """Gives the batches of any number of epochs, with the same workers.

    Args:
        reader: where frames come from.
        clip: the geometry.
        device: where batches go.
        workers: processes that read, at most as many as there are cores; none are started for clips that are all in
            memory already.
        videos: rows of `globals`; None where there are no global features.
        globals: a feature of each of these videos.

    Attributes:
        device: where batches go.
        unreadable: videos of which a clip could not be read so far, and why; a run that goes on puts back here what
            the run before it found.
    """

    def __init__(
        self,
        reader: ClipReader,
        clip: Clip,
        device: torch.device,
        workers: int,
        videos: Sequence[str] = (),
        globals: Float[Tensor, "videos dim"] | None = None,  # noqa: A002
    ) -> None:
        self._reader, self._clip, self.device = reader, clip, device
        self._workers = min(workers, _cores())
        self._rows = {video: row for row, video in enumerate(videos)}
        self._globals = None if globals is None else globals.to(device)
        self._order = _Order()
        self._persistent: DataLoader[Any] | None = None
        self.unreadable: dict[str, str] = {}

    def batches(self, samples: list[Sample], sizes: int | Sequence[int]) -> Iterator[Batch]:
        """The samples in their order, in batches. One run through them at a time.

        Args:
            samples: the clips.
            sizes: clips of a batch (the last one may hold fewer), or of each batch in turn.
        """
        parts = _parts(samples, sizes)
        read = zip(parts, self._read(parts), strict=True)
        if self.device.type == "cuda":
            yield from self._ahead(read)
        else:
            for part, found in read:
                yield self._batch(part, found)

    def rows(self) -> list[dict[str, str]]:
        """The unreadable videos as rows of `REJECTS`, sorted."""
        return [
            {"video": video, "source": "clips", "reason": "unreadable", "detail": why}
            for video, why in sorted(self.unreadable.items())
        ]

    def check(self, samples: Iterable[Sample], max_unreadable: float) -> None:
        """At an epoch's end: too many unreadable videos are an error, since other things were learned than were meant.

        Args:
            samples: of the epoch.
            max_unreadable: the share of their videos that may be unreadable.

        Raises:
            PipelineError: there are more; names the first three.
        """
        videos = {sample.video for sample in samples}
        bad = sorted(videos & self.unreadable.keys())
        if len(bad) > max_unreadable * len(videos):
            told = "; ".join(self.unreadable[video] for video in bad[:3])
            raise PipelineError(
                f"{len(bad)} of {len(videos)} videos of the epoch are unreadable ({told}); re-encode them, or config: "
                "pretrain_encoder.max_unreadable"
            )

    def _read(self, parts: list[list[Sample]]) -> Iterator[Read]:
        everything = (sample for part in parts for sample in part)
        reading = _Reading(self._reader)
        if self._workers == 0 or self._reader.holds(everything):
            return ([reading[sample] for sample in part] for part in parts)
        if self._persistent is None:
            self._persistent = DataLoader(
                reading,
                batch_sampler=self._order,
                num_workers=self._workers,
                collate_fn=_pack,
                # Forked workers share the videos in memory; under any other start each would get a copy.
                multiprocessing_context="fork" if sys.platform == "linux" else None,
                persistent_workers=True,
                prefetch_factor=PREFETCH,
                pin_memory=self.device.type == "cuda",
            )
        self._order.parts = parts
        return (_unpack(packed, self.device) for packed in _taken_over(self._persistent))

    def _ahead(self, read: Iterator[tuple[list[Sample], Read]]) -> Iterator[Batch]:
        """On a GPU the next batch is copied and prepared on a stream of its own while the network is at work."""
        stream = torch.cuda.Stream(self.device)
        stream.wait_stream(torch.cuda.current_stream(self.device))

        def prepared() -> Batch | None:
            with torch.cuda.stream(stream):
                return next((self._batch(part, found) for part, found in islice(read, 1)), None)

        coming = prepared()
        while coming is not None:
            here = torch.cuda.current_stream(self.device)
            here.wait_stream(stream)
            for tensor in (coming.clips, coming.readable, coming.globals):
                if tensor is not None:
                    tensor.record_stream(here)
            now, coming = coming, prepared()
            yield now

    def _batch(self, part: list[Sample], found: Read) -> Batch:
        clips, good = [], []
        for number, (sample, frames) in enumerate(zip(part, found, strict=True)):
            if isinstance(frames, Unreadable):
                self.unreadable.setdefault(sample.video, frames.why)
            else:
                clips.append(frames.to(self.device, non_blocking=True))
                good.append(number)
        if good:
            crops, flips = [(part[number].top, part[number].left) for number in good], [part[n].flip for n in good]
            prepared = prepare_batch(clips, self._clip, crops, flips)
            if len(good) < len(part):
                # The next clip that could be read, or else the first.
                stand_in = np.searchsorted(good, range(len(part))) % len(good)
                prepared = prepared[torch.from_numpy(stand_in).to(self.device)]
        else:
            crop = self._clip.crop
            prepared = torch.zeros(len(part), 3, self._clip.frames, crop, crop, device=self.device)
        able = [not isinstance(frames, Unreadable) for frames in found]
        readable = torch.tensor(able, dtype=torch.bool, device=self.device)
        return Batch(part, prepared, readable, all(able), self._of(part))

    def _of(self, part: list[Sample]) -> Float[Tensor, "batch dim"] | None:
        """The global features of the samples' videos: rows of a table in memory."""
        if self._globals is None:
            return None
        rows = [self._rows[sample.video] for sample in part]
        return self._globals[torch.tensor(rows, dtype=torch.long, device=self.device)]


def _parts(samples: list[Sample], sizes: int | Sequence[int]) -> list[list[Sample]]:
    if isinstance(sizes, int):
        return [samples[first : first + sizes] for first in range(0, len(samples), sizes)]
    if sum(sizes) != len(samples):
        raise ValueError(f"batches of {sum(sizes)} clips in all, of {len(samples)}")
    ends = np.cumsum(sizes).tolist()
    return [samples[end - size : end] for size, end in zip(sizes, ends, strict=True)]


class _Order:
    """What the workers are to read next; they are sent the samples themselves, so they need know no epoch."""

    def __init__(self) -> None:
        self.parts: list[list[Sample]] = []

    def __iter__(self) -> Iterator[list[Sample]]:
        return iter(self.parts)

    def __len__(self) -> int:
        return len(self.parts)


class _Reading(Dataset[Tensor | Unreadable]):
    """What a worker does."""

    def __init__(self, reader: ClipReader) -> None:
        self._reader = reader

    def __getitem__(self, sample: Sample) -> Tensor | Unreadable:
        try:
            return torch.from_numpy(self._reader.read(sample.video, sample.first))
        except (PipelineError, OSError, ValueError) as error:
            return Unreadable(str(error))


@contextlib.contextmanager
def readers_told() -> Iterator[None]:
    """Tell of workers that die, and of shared memory that ends, in the course of the block.

    PyTorch raises the error of a worker's death wherever the training is when the system reports it.

    Raises:
        PipelineError: either.
    """
    try:
        yield
    except RuntimeError as error:
        if not re.search(r"DataLoader worker \(pid|shared memory|\bshm\b|/torch_\d+", str(error)):
            raise
        raise _lost(str(error).strip().splitlines()[-1]) from error


def _taken_over(batches: Iterable[Packed]) -> Iterator[Packed]:
    """What the workers hand over, through a socket of theirs."""
    try:
        yield from batches
    except (OSError, EOFError) as error:
        raise _lost(repr(error)) from error


def _lost(why: str) -> PipelineError:
    return PipelineError(
        f"a process that reads clips is gone ({why}); is memory or /dev/shm short "
        "(python -m pipeline.commands.doctor)? Run again, which goes on from the last state; if this happens again, with config: pretrain_encoder.workers: 0"
    )


def _pack(clips: Read) -> Packed:
    found = [clip.flatten() for clip in clips if not isinstance(clip, Unreadable)]
    flat = torch.cat(found) if found else torch.zeros(0, dtype=torch.uint8)
    return flat, [clip if isinstance(clip, Unreadable) else tuple(clip.shape) for clip in clips]


def _unpack(packed: Packed, device: torch.device) -> Read:
    flat, shapes = packed
    flat = flat.to(device, non_blocking=True)
    found: Read = []
    place = 0
    for shape in shapes:
        if isinstance(shape, Unreadable):
            found.append(shape)
        else:
            size = int(np.prod(shape))
            found.append(flat[place : place + size].view(shape))
            place += size
    return found


def _cores() -> int:
    """Cores that this process may use, which a container or a cluster job may have few of."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
