"""Training state that outlives the job: what is needed to go on after a crash, as if nothing had happened.

The state stands beside the outputs of a rule, not among them, because Snakemake deletes outputs before it runs a rule
again. Whatever moment the job is killed at, the folder holds a whole state: a generation `state-<n>.pt` counts once
its sha256 stands beside it, both are on the disk before the generation before the last one goes, and what a killed
writer left half done is swept by the next job. Together with seeds derived per epoch that makes a resumed run equal,
bit for bit on one CPU, to an undisturbed one.
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
from pipeline.io.atomic import read_json, replacing, sha256, write_json, writing

KEPT = 2
"""Generations that are kept: the newest, and one to fall back to."""

LOCK = "state.lock"
_OURS = re.compile(r"identity\.json|state\.lock|state(-\d+)?\.pt|state-\d+\.json|\.(identity|state-\d+)\.\d+\.tmp\.\w+")
_TEMPORARY = re.compile(r"\.(identity|state-\d+)\.\d+\.tmp\.\w+")
_GENERATION = re.compile(r"state-(\d+)\.(?:pt|json)")

_held: dict[Path, int] = {}
"""Open lock files of this process. The system drops a lock as soon as any descriptor of its file is closed."""


@runtime_checkable
class Saves(Protocol):
    """What a run needs of the place where it is kept."""

    def load(self) -> dict[str, Any] | None:
        """The newest state."""

    def save(self, state: dict[str, Any], /) -> None:
        """Keep a state."""


class TrainingState:
    """The state folder of one training job, held by one process at a time.

    Args:
        folder: where the state stands; made when first written.
        identity: what the run depends on (config digest, code stamp, sha256 of the inputs). State left by a run of
            another identity is removed, never resumed.

    Raises:
        PipelineError: the folder holds files that are no training state, or another process trains with it.
    """

    def __init__(self, folder: Path, identity: dict[str, str]) -> None:
        self.folder = folder
        identity_file = folder / "identity.json"
        if not identity_file.is_file() and any(not _OURS.fullmatch(name) for name in _names(folder)):
            raise PipelineError(f"--state {folder}: holds other files; give a folder that is empty or not there yet")
        folder.mkdir(parents=True, exist_ok=True)
        _lock(folder)
        for name in filter(_TEMPORARY.fullmatch, _names(folder)):
            (folder / name).unlink()
        if _identity(identity_file) != identity:
            self._empty()
            write_json(identity_file, identity)
            _flush(identity_file)
        for number in self._generations():
            if not self._whole(number):
                self._remove(number)

    def load(self) -> dict[str, Any] | None:
        """The newest state that is whole, or None where nothing was saved yet."""
        numbers = self._generations()
        if not numbers:
            return None
        state: dict[str, Any] = torch.load(self._files(numbers[-1])[0], map_location="cpu", weights_only=True)
        return state

    def save(self, state: dict[str, Any]) -> None:
        """Add a generation and drop the oldest; `state` holds tensors and plain data only."""
        numbers = self._generations()
        number = numbers[-1] + 1 if numbers else 1
        weights, digest = self._files(number)
        with replacing(weights) as temporary:
            _write(state, temporary)
            said = sha256(temporary)
        with writing(weights):
            _flush(weights)
        write_json(digest, {"sha256": said})
        with writing(digest):
            _flush(digest)
        for old in numbers[: 1 - KEPT]:
            self._remove(old)

    def clear(self) -> None:
        """Remove the state, once the outputs are written; of the folder, nothing that is not the state's."""
        self._empty()
        (self.folder / LOCK).unlink(missing_ok=True)
        if not _names(self.folder):
            self.folder.rmdir()
        os.close(_held.pop(self.folder.resolve()))

    def _empty(self) -> None:
        for name in _names(self.folder):
            if _OURS.fullmatch(name) and name != LOCK:
                (self.folder / name).unlink()

    def _generations(self) -> list[int]:
        found = filter(None, map(_GENERATION.fullmatch, _names(self.folder)))
        return sorted({int(match[1]) for match in found})

    def _files(self, number: int) -> tuple[Path, Path]:
        return self.folder / f"state-{number}.pt", self.folder / f"state-{number}.json"

    def _remove(self, number: int) -> None:
        for path in self._files(number)[::-1]:  # the digest first: weights without one are nothing
            path.unlink(missing_ok=True)

    def _whole(self, number: int) -> bool:
        """Whether a generation is as it was saved; says so where it is not, unless it was never finished."""
        weights, digest = self._files(number)
        if weights.is_file() and digest.is_file():
            try:
                if read_json(digest) == {"sha256": sha256(weights)}:
                    return True
            except PipelineError:
                pass  # a damaged digest says as little as a wrong one
            logging.warning("%s: damaged; going on from the state before it", weights)
        return False


class FollowedState(TrainingState):
    """The state of a run of several processes, in those that only read it; the first one holds and writes it.

    Args:
        folder: as the first process has prepared it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def save(self, state: dict[str, Any]) -> None:
        """The first process does."""

    def clear(self) -> None:
        """The first process does."""


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []


def _identity(path: Path) -> Any:
    try:
        return read_json(path)
    except PipelineError:
        return None


def _lock(folder: Path) -> None:
    """Hold the folder until the state is cleared or this process ends, by whatever signal.

    A POSIX lock, which forked readers of clips do not inherit: a killed trainer's readers may outlive it.

    Raises:
        PipelineError: another process holds it.
    """
    path = folder / LOCK
    while not _holds(path):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = os.read(descriptor, 1000).decode(errors="replace")
            os.close(descriptor)
            raise PipelineError(
                f"--state {folder}: {holder or 'another process'} is training with this state; end it or wait for it"
            ) from None
        if folder.resolve() in _held:
            os.close(_held.pop(folder.resolve()))
        _held[folder.resolve()] = descriptor
    descriptor = _held[folder.resolve()]
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"process {os.getpid()} on {socket.gethostname()}".encode(), 0)


def _holds(path: Path) -> bool:
    """Whether this process holds the lock file that stands there now; its last holder may have removed it."""
    descriptor = _held.get(path.parent.resolve())
    return descriptor is not None and path.is_file() and os.path.samestat(os.fstat(descriptor), path.stat())


def _write(state: dict[str, Any], path: Path) -> None:
    """Write a state; where the disk is full, the error says so, which PyTorch's own does not."""
    try:
        with path.open("wb") as file:
            torch.save(state, file)
    except RuntimeError as error:
        if isinstance(error.__context__, OSError):
            raise error.__context__ from None
        raise


def _flush(path: Path) -> None:
    """Have a file, and its name in its folder, on the disk before going on."""
    for place in (path, path.parent):
        descriptor = os.open(place, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
