"""Batches of clips: read by data-loader workers that live as long as the loader, prepared on the device.

An unreadable clip never ends an epoch: its row of the batch is masked, and its video is recorded.
"""

import contextlib
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

from pipeline.config.clip_geometry import ClipGeometry
from pipeline.datasets.corpus import RejectedVideo
from pipeline.encoders.clip_reader import ClipReader
from pipeline.encoders.clip_transforms import KINETICS, PixelNormalization, transform_batch
from pipeline.encoders.sampling import ClipSample
from pipeline.errors import PipelineError
from pipeline.threads import count_cores

PREFETCH = 2
"""Batches that each worker reads ahead."""


@dataclass(frozen=True)
class ClipBatch:
    """A batch of clips as the network takes them.

    Attributes:
        samples: the clips.
        pixels: normalised frames, on the device. The row of an unreadable clip holds another clip of the batch (zeros
            if there is none), so that the batch statistics remain those of real frames.
        is_readable: mask of the rows that hold their own clip; the other rows must not count.
        is_complete: whether all clips are readable.
        global_features: the feature of each clip's video, if the loader has any.
    """

    samples: list[ClipSample]
    pixels: Float[Tensor, "batch 3 frames crop crop"]
    is_readable: Bool[Tensor, "batch"]
    is_complete: bool
    global_features: Float[Tensor, "batch dim"] | None


@dataclass(frozen=True)
class UnreadableClip:
    """The error of an unreadable clip, returned by a worker as a value because an exception would end the epoch."""

    error: str


ReadClips = list[UInt8[Tensor, "_ _ _ 3"] | UnreadableClip]
"""Frames of each clip of a batch."""
PackedClips = tuple[UInt8[Tensor, "bytes"], list[tuple[int, ...] | UnreadableClip]]
"""The clips of a batch end to end, and the shape of each: one block of shared memory, one copy to the device."""


class ClipLoader:
    """Yields the batches of any number of epochs, with the same workers.

    Args:
        reader: reads frames.
        clip: geometry of a clip.
        device: device of the batches.
        workers: number of worker processes, limited to the number of cores. No worker is started if all clips are in
            memory.
        videos: ids of the rows of `global_features`.
        global_features: a feature for each of these videos, if there are any.
        normalization: of the pixels.
        stage: the stage that trains, for errors.

    Attributes:
        device: device of the batches.
        stage: the stage that trains.
        unreadable: error message by unreadable video; a resumed run restores those of the interrupted one here.
    """

    def __init__(
        self,
        reader: ClipReader,
        clip: ClipGeometry,
        device: torch.device,
        workers: int,
        videos: Sequence[str] = (),
        global_features: Float[Tensor, "videos dim"] | None = None,
        normalization: PixelNormalization = KINETICS,
        stage: str = "pretrain_encoder",
    ) -> None:
        self._reader, self._clip, self.device, self.stage = reader, clip, device, stage
        self._normalization = normalization
        self._workers = min(workers, count_cores())
        self._global_rows = {video: row for row, video in enumerate(videos)}
        self._global_features = None if global_features is None else global_features.to(device)
        self._batch_sampler = _BatchSampler()
        self._data_loader: DataLoader[Any] | None = None
        self.unreadable: dict[str, str] = {}

    def batches(self, samples: list[ClipSample], sizes: int | Sequence[int]) -> Iterator[ClipBatch]:
        """Yield the samples in order, in batches. Only one such iteration may run at a time.

        Args:
            samples: the clips.
            sizes: clips per batch (the last batch may hold fewer), or the size of each batch in turn.
        """
        parts = _split(samples, sizes)
        read = zip(parts, self._read(parts), strict=True)
        if self.device.type == "cuda":
            yield from self._prefetch(read)
        else:
            for part, clips in read:
                yield self._prepare(part, clips)

    def rejects(self) -> list[RejectedVideo]:
        """Return the unreadable videos with their errors, sorted by id."""
        return [
            RejectedVideo(video, source="clips", reason="unreadable", detail=error)
            for video, error in sorted(self.unreadable.items())
        ]

    def check_unreadable(self, samples: Iterable[ClipSample], max_share: float) -> None:
        """Check the share of unreadable videos at the end of an epoch.

        Args:
            samples: the clips of the epoch.
            max_share: largest share of their videos that may be unreadable.

        Raises:
            PipelineError: the share is larger; the message shows the first three errors.
        """
        videos = {sample.video for sample in samples}
        unreadable = sorted(videos & self.unreadable.keys())
        if len(unreadable) > max_share * len(videos):
            errors = "; ".join(self.unreadable[video] for video in unreadable[:3])
            raise PipelineError(
                f"{len(unreadable)} of {len(videos)} videos of the epoch are unreadable ({errors}); re-encode them, or "
                f"raise {self.stage}.max_unreadable"
            )

    def _read(self, parts: list[list[ClipSample]]) -> Iterator[ReadClips]:
        samples = (sample for part in parts for sample in part)
        dataset = _ClipDataset(self._reader)
        if self._workers == 0 or self._reader.is_cached(samples):
            return ([dataset[sample] for sample in part] for part in parts)
        if self._data_loader is None:
            self._data_loader = DataLoader(
                dataset,
                batch_sampler=self._batch_sampler,
                num_workers=self._workers,
                collate_fn=_pack,
                # Forked workers share the videos in memory; with any other start method each would get a copy.
                multiprocessing_context="fork" if sys.platform == "linux" else None,
                persistent_workers=True,
                prefetch_factor=PREFETCH,
                pin_memory=self.device.type == "cuda",
            )
        self._batch_sampler.parts = parts
        return (_unpack(packed, self.device) for packed in _receive(self._data_loader))

    def _prefetch(self, read: Iterator[tuple[list[ClipSample], ReadClips]]) -> Iterator[ClipBatch]:
        """Copy and prepare the next batch on its own CUDA stream while the network computes."""
        stream = torch.cuda.Stream(self.device)
        stream.wait_stream(torch.cuda.current_stream(self.device))

        def prepare_next() -> ClipBatch | None:
            with torch.cuda.stream(stream):
                return next((self._prepare(part, clips) for part, clips in islice(read, 1)), None)

        upcoming = prepare_next()
        while upcoming is not None:
            current_stream = torch.cuda.current_stream(self.device)
            current_stream.wait_stream(stream)
            for tensor in (upcoming.pixels, upcoming.is_readable, upcoming.global_features):
                if tensor is not None:
                    tensor.record_stream(current_stream)
            batch, upcoming = upcoming, prepare_next()
            yield batch

    def _prepare(self, samples: list[ClipSample], clips: ReadClips) -> ClipBatch:
        frames, rows = [], []
        for row, (sample, clip) in enumerate(zip(samples, clips, strict=True)):
            if isinstance(clip, UnreadableClip):
                self.unreadable.setdefault(sample.video, clip.error)
            else:
                frames.append(clip.to(self.device, non_blocking=True))
                rows.append(row)
        if rows:
            crops = [(samples[row].top, samples[row].left) for row in rows]
            flips = [samples[row].flip for row in rows]
            pixels = transform_batch(frames, self._clip, crops, flips, self._normalization)
            if len(rows) < len(samples):
                # An unreadable clip is replaced by the next readable one, or else by the first.
                replacements = np.searchsorted(rows, range(len(samples))) % len(rows)
                pixels = pixels[torch.from_numpy(replacements).to(self.device)]
        else:
            crop = self._clip.crop
            pixels = torch.zeros(len(samples), 3, self._clip.frames, crop, crop, device=self.device)
        mask = [not isinstance(clip, UnreadableClip) for clip in clips]
        is_readable = torch.tensor(mask, dtype=torch.bool, device=self.device)
        return ClipBatch(samples, pixels, is_readable, all(mask), self._global_features_of(samples))

    def _global_features_of(self, samples: list[ClipSample]) -> Float[Tensor, "batch dim"] | None:
        """Return the global features of the samples' videos."""
        if self._global_features is None:
            return None
        rows = [self._global_rows[sample.video] for sample in samples]
        return self._global_features[torch.tensor(rows, dtype=torch.long, device=self.device)]


def _split(samples: list[ClipSample], sizes: int | Sequence[int]) -> list[list[ClipSample]]:
    if isinstance(sizes, int):
        return [samples[first : first + sizes] for first in range(0, len(samples), sizes)]
    if sum(sizes) != len(samples):
        raise ValueError(f"the batch sizes sum to {sum(sizes)}, but there are {len(samples)} clips")
    ends = np.cumsum(sizes).tolist()
    return [samples[end - size : end] for size, end in zip(sizes, ends, strict=True)]


class _BatchSampler:
    """The batches of the present epoch; workers receive the samples themselves, so they need not know the epoch."""

    def __init__(self) -> None:
        self.parts: list[list[ClipSample]] = []

    def __iter__(self) -> Iterator[list[ClipSample]]:
        return iter(self.parts)

    def __len__(self) -> int:
        return len(self.parts)


class _ClipDataset(Dataset[Tensor | UnreadableClip]):
    """Reads one clip; runs in the workers."""

    def __init__(self, reader: ClipReader) -> None:
        self._reader = reader

    def __getitem__(self, sample: ClipSample) -> Tensor | UnreadableClip:
        try:
            return torch.from_numpy(self._reader.read(sample.video, sample.start_frame))
        except (PipelineError, OSError, ValueError) as error:
            return UnreadableClip(str(error))


@contextlib.contextmanager
def report_worker_deaths() -> Iterator[None]:
    """Turn the death of a worker, or a lack of shared memory, within the block into a `PipelineError`.

    PyTorch raises its error wherever the training is when the system reports the death.

    Raises:
        PipelineError: a worker died, or shared memory ran out.
    """
    try:
        yield
    except RuntimeError as error:
        if not re.search(r"DataLoader worker \(pid|shared memory|\bshm\b|/torch_\d+", str(error)):
            raise
        raise _worker_died(str(error).strip().splitlines()[-1]) from error


def _receive(batches: Iterable[PackedClips]) -> Iterator[PackedClips]:
    """Receive batches from the workers through their socket."""
    try:
        yield from batches
    except (OSError, EOFError) as error:
        raise _worker_died(repr(error)) from error


def _worker_died(reason: str) -> PipelineError:
    return PipelineError(
        f"a data-loader worker died ({reason}): out of memory or /dev/shm full? Check with `sa-tsp doctor`. Run again, "
        "which goes on from the last state; if it happens again, set workers: 0 in the section of this stage"
    )


def _pack(clips: ReadClips) -> PackedClips:
    pixels = [clip.flatten() for clip in clips if not isinstance(clip, UnreadableClip)]
    flat = torch.cat(pixels) if pixels else torch.zeros(0, dtype=torch.uint8)
    return flat, [clip if isinstance(clip, UnreadableClip) else tuple(clip.shape) for clip in clips]


def _unpack(packed: PackedClips, device: torch.device) -> ReadClips:
    flat, shapes = packed
    flat = flat.to(device, non_blocking=True)
    clips: ReadClips = []
    offset = 0
    for shape in shapes:
        if isinstance(shape, UnreadableClip):
            clips.append(shape)
        else:
            size = int(np.prod(shape))
            clips.append(flat[offset : offset + size].view(shape))
            offset += size
    return clips
