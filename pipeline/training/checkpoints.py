"""Checkpoints of a training run: what a job needs to resume after a crash as if it had never stopped.

The folder of checkpoints is not among the outputs of a rule, because Snakemake deletes outputs before it runs a rule
again. The folder holds a complete checkpoint at every moment, so a kill never loses it: a checkpoint `state-<n>.pt`
is valid only with its sha256 in `state-<n>.json`; both are flushed to the disk before the oldest checkpoint is
removed; the next job removes what a killed writer left. Seeds are derived per epoch, so a resumed run equals an
uninterrupted one, bit for bit on one CPU.
"""

import fcntl
import logging
import os
import re
import socket
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch

from pipeline.errors import PipelineError
from pipeline.io.atomic import flush, read_json, replace_atomically, sha256, write_json
from pipeline.provenance.computation import Computation
from pipeline.training.distributed import ProcessGroup

NUM_KEPT = 2
"""Number of checkpoints kept: the newest, and one to fall back to."""

LOCK = "state.lock"
FINGERPRINT = "fingerprint.json"
_TEMPORARY = re.compile(r"\.(fingerprint|state-\d+)\.\d+\.tmp\.\w+")
_FILES = re.compile(rf"fingerprint\.json|state\.lock|state(-\d+)?\.pt|state-\d+\.json|{_TEMPORARY.pattern}")
_CHECKPOINT = re.compile(r"state-(\d+)\.(?:pt|json)")

_held: dict[Path, int] = {}
"""Open lock files of this process. The system drops a lock as soon as any descriptor of its file is closed."""


@runtime_checkable
class CheckpointStore(Protocol):
    """What a training run needs to save and resume its state."""

    def load(self) -> dict[str, Any] | None:
        """Return the newest state, None if there is none."""

    def save(self, state: dict[str, Any], /) -> None:
        """Save a state."""


class CheckpointManager:
    """The checkpoint folder of one training job; one process at a time holds it.

    Args:
        folder: the folder; created when first written.
        fingerprint: what the run depends on (`Computation.key`), as JSON data. Checkpoints of a run with another
            fingerprint are removed, never resumed.

    Raises:
        PipelineError: the folder holds files that are no checkpoints, or another process trains with it.
    """

    def __init__(self, folder: Path, fingerprint: dict[str, Any]) -> None:
        self.folder = folder
        fingerprint_file = folder / FINGERPRINT
        if not fingerprint_file.is_file() and any(not _FILES.fullmatch(name) for name in _names(folder)):
            raise PipelineError(f"--state {folder}: holds other files; give an empty or a new folder")
        folder.mkdir(parents=True, exist_ok=True)
        _lock(folder)
        for name in filter(_TEMPORARY.fullmatch, _names(folder)):
            (folder / name).unlink()
        if _read_fingerprint(fingerprint_file) != fingerprint:
            self._empty()
            write_json(fingerprint_file, fingerprint)
            flush(fingerprint_file)
        for number in self._numbers():
            if not self._is_valid(number):
                self._remove(number)

    def load(self) -> dict[str, Any] | None:
        """Return the newest valid state, None if nothing was saved yet."""
        numbers = self._numbers()
        if not numbers:
            return None
        state: dict[str, Any] = torch.load(self._files(numbers[-1])[0], map_location="cpu", weights_only=True)
        return state

    def save(self, state: dict[str, Any]) -> None:
        """Save a state, and remove the oldest checkpoint.

        Args:
            state: tensors and plain data.

        Raises:
            PipelineError: the disk is full or read-only.
        """
        numbers = self._numbers()
        number = numbers[-1] + 1 if numbers else 1
        weights, digest = self._files(number)
        with replace_atomically(weights) as temporary:
            _write(state, temporary)
            checksum = sha256(temporary)
        flush(weights)
        write_json(digest, {"sha256": checksum})
        flush(digest)
        for old in numbers[: 1 - NUM_KEPT]:
            self._remove(old)

    def clear(self) -> None:
        """Remove the checkpoints once the outputs are written; other files in the folder stay."""
        self._empty()
        (self.folder / LOCK).unlink(missing_ok=True)
        if not _names(self.folder):
            self.folder.rmdir()
        os.close(_held.pop(self.folder.resolve()))

    def _empty(self) -> None:
        for name in _names(self.folder):
            if _FILES.fullmatch(name) and name != LOCK:
                (self.folder / name).unlink()

    def _numbers(self) -> list[int]:
        matches = filter(None, map(_CHECKPOINT.fullmatch, _names(self.folder)))
        return sorted({int(match[1]) for match in matches})

    def _files(self, number: int) -> tuple[Path, Path]:
        return self.folder / f"state-{number}.pt", self.folder / f"state-{number}.json"

    def _remove(self, number: int) -> None:
        for path in self._files(number)[::-1]:  # the digest first: weights without a digest are invalid
            path.unlink(missing_ok=True)

    def _is_valid(self, number: int) -> bool:
        """Whether a checkpoint matches its sha256. Warns if it does not, unless it was never completed."""
        weights, digest = self._files(number)
        if weights.is_file() and digest.is_file():
            try:
                if read_json(digest) == {"sha256": sha256(weights)}:
                    return True
            except PipelineError:
                pass  # a damaged digest is as good as a wrong one
            logging.warning("%s: damaged; resuming from the previous checkpoint", weights)
        return False


class ReadOnlyCheckpoints(CheckpointManager):
    """The checkpoint folder for the processes of a distributed run other than the first, which alone writes.

    Args:
        folder: the folder, prepared by the first process.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def save(self, state: dict[str, Any]) -> None:
        """Do nothing; the first process saves."""

    def clear(self) -> None:
        """Do nothing; the first process clears."""


def open_checkpoints(folder: Path, computation: Computation) -> CheckpointManager | None:
    """Open the checkpoint folder of a training, unless the training was finished before.

    Args:
        folder: the folder.
        computation: the training.

    Returns:
        the checkpoints; None if the outputs were published again.

    Raises:
        PipelineError: the folder holds files that are no checkpoints, or another process trains with it.
    """
    if computation.restore():
        # A job that was killed after its outputs were safe left its checkpoints. Those of other settings stay.
        if _read_fingerprint(folder / FINGERPRINT) == computation.key:
            CheckpointManager(folder, computation.key).clear()
        return None
    checkpoints = CheckpointManager(folder, computation.key)
    if computation.restore():  # a job that outlived its snakemake has finished since the first look
        checkpoints.clear()
        return None
    return checkpoints


def open_shared_checkpoints(folder: Path, computation: Computation, group: ProcessGroup) -> CheckpointManager | None:
    """Open the checkpoint folder; the first process prepares and writes it, the others wait for it and only read.

    Args:
        folder: the folder.
        computation: the training.
        group: the processes that train.

    Returns:
        None if the training was finished before; the first process has published its outputs again.
    """
    manager = open_checkpoints(folder, computation) if group.is_first else None
    group.barrier()
    if group.is_first:
        return manager
    return None if computation.restore(publish=False) else ReadOnlyCheckpoints(folder)


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []


def _read_fingerprint(path: Path) -> Any:
    try:
        return read_json(path)
    except PipelineError:
        return None


def _lock(folder: Path) -> None:
    """Hold the folder until the checkpoints are cleared or this process ends, by whatever signal.

    This is a POSIX lock: forked data-loader workers, which may outlive a killed trainer, do not inherit it.

    Raises:
        PipelineError: another process holds the folder.
    """
    path = folder / LOCK
    while not _is_held(path):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = os.read(descriptor, 1000).decode(errors="replace")
            os.close(descriptor)
            raise PipelineError(
                f"--state {folder}: {holder or 'another process'} is training with this state; stop it or wait"
            ) from None
        if folder.resolve() in _held:
            os.close(_held.pop(folder.resolve()))
        _held[folder.resolve()] = descriptor
    descriptor = _held[folder.resolve()]
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"process {os.getpid()} on {socket.gethostname()}".encode(), 0)


def _is_held(path: Path) -> bool:
    """Whether this process holds the present lock file; its last holder may have removed and replaced the file."""
    descriptor = _held.get(path.parent.resolve())
    return descriptor is not None and path.is_file() and os.path.samestat(os.fstat(descriptor), path.stat())


def _write(state: dict[str, Any], path: Path) -> None:
    """Write a state. PyTorch's error for a full disk does not name the cause; raise the system's error instead."""
    try:
        with path.open("wb") as file:
            torch.save(state, file)
    except RuntimeError as error:
        if isinstance(error.__context__, OSError):
            raise error.__context__ from None
        raise
