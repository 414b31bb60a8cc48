"""Feature files of other projects: HDF5 files with one dataset per video, or a folder of .npy files.

Nothing in the files is executed: object arrays, which numpy would unpickle, are refused.
"""

import contextlib
from collections.abc import Iterator, KeysView, Mapping
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
from jaxtyping import Float
from numpy.lib import format as npy

from pipeline.datasets.video_ids import check_id
from pipeline.errors import PipelineError

H5_SUFFIXES = (".h5", ".hdf5")
NUMBER_KINDS = "fiu"
"""Kinds of numpy types that are accepted: floating point, signed and unsigned integers."""


@dataclass(frozen=True)
class ArrayHeader:
    """Shape and type of an array that has not been read yet."""

    shape: tuple[int, ...]
    dtype: np.dtype


class H5Source:
    """One or several open HDF5 files; those of TSP are divided by subset.

    Attributes:
        path: the file, or the folder of the files.
        videos: ids, sorted; at least one.

    Raises:
        PipelineError: a file holds no datasets at its root or something else there, a key is not a valid video id, or a
            video is in two files.
    """

    def __init__(self, path: Path, files: Mapping[Path, h5py.File]) -> None:
        self.path = path
        self._files: dict[str, h5py.File] = {}
        for name, file in files.items():
            for key in file:
                link = file.get(key, getlink=True)
                if not isinstance(link, h5py.HardLink) or not isinstance(file[key], h5py.Dataset):
                    raise PipelineError(f"{name}: {key!r} is not a dataset; expected one per video at the root")
                if key in self._files:
                    raise PipelineError(f"{name}: {key} is in {self._files[key].filename} too; remove one")
                self._files[check_id(key, name)] = file
            if not len(file):
                raise PipelineError(f"{name}: has no datasets; expected one per video at the root")
        self.videos: KeysView[str] = dict(sorted(self._files.items())).keys()

    def header(self, video: str) -> ArrayHeader:
        """Return shape and type of a video's array without reading its numbers."""
        dataset = self._files[video][video]
        return ArrayHeader(dataset.shape or (), dataset.dtype)

    def read(self, video: str) -> Float[np.ndarray, "rows dim"]:
        """Read a video's array, which must have two dimensions, as float32.

        Raises:
            PipelineError: the file is damaged.
        """
        file = self._files[video]
        try:
            return _to_float32(file[video][()])
        except OSError as error:
            raise PipelineError(f"{file.filename}: {video} is damaged ({error}); download the file again") from None


class NpySource:
    """A folder of files `<id><suffix>.npy`.

    Attributes:
        path: the folder.
        videos: ids, sorted; at least one.

    Raises:
        PipelineError: the folder has no such files, or one of the names is not a valid video id.
    """

    def __init__(self, path: Path, suffix: str) -> None:
        self.path = path
        ending = f"{suffix}.npy"
        files = [file for file in path.iterdir() if file.name.endswith(ending)]
        self._files = {check_id(file.name.removesuffix(ending), file): file for file in sorted(files)}
        self.videos: KeysView[str] = self._files.keys()
        if not files:
            examples = sorted(file.name for file in path.iterdir())[:3]
            raise PipelineError(f"{path}: has no files *{ending}; it has {', '.join(examples) or 'no files at all'}")

    def header(self, video: str) -> ArrayHeader:
        """Return shape and type of a video's array without reading its numbers.

        Raises:
            PipelineError: not a .npy file.
        """
        with _npy_errors_named(self._files[video]), self._files[video].open("rb") as file:
            read = npy.read_array_header_1_0 if npy.read_magic(file) == (1, 0) else npy.read_array_header_2_0
            shape, _, dtype = read(file)
            return ArrayHeader(shape, dtype)

    def read(self, video: str) -> Float[np.ndarray, "rows dim"]:
        """Read a video's array, which must have two dimensions, as float32.

        Raises:
            PipelineError: the file is truncated or holds an object array.
        """
        with _npy_errors_named(self._files[video]), self._files[video].open("rb") as file:
            return _to_float32(npy.read_array(file, allow_pickle=False))


ExternalSource = H5Source | NpySource
"""Arrays of videos that are read on demand."""


@contextlib.contextmanager
def open_source(path: Path, suffix: str = "") -> Iterator[ExternalSource]:
    """Open features in a format of another project.

    Args:
        path: an HDF5 file, a folder of HDF5 files (`.h5`, `.hdf5`), or a folder of .npy files.
        suffix: part of the file name between the id and `.npy`, such as `_rgb` in `v_x_rgb.npy`.

    Raises:
        PipelineError: the path has none of these formats, or is empty.
    """
    if not path.exists():
        raise PipelineError(f"{path}: no such file or folder of features")
    files = sorted(file for file in path.iterdir() if file.suffix in H5_SUFFIXES) if path.is_dir() else [path]
    if not files:
        yield NpySource(path, suffix)
        return
    if suffix:
        raise PipelineError(f"{path}: a suffix ({suffix}) applies to folders of .npy files only, not to HDF5 files")
    with contextlib.ExitStack() as stack:
        yield H5Source(path, {file: stack.enter_context(_open_h5(file)) for file in files})


def _open_h5(path: Path) -> h5py.File:
    if not h5py.is_hdf5(path):
        raise PipelineError(f"{path}: neither an HDF5 file nor a folder of HDF5 or .npy files")
    try:
        return h5py.File(path, "r")
    except OSError as error:
        raise PipelineError(f"{path}: not a readable HDF5 file ({error}); download it again") from None


def _to_float32(array: np.ndarray) -> Float[np.ndarray, "rows dim"]:
    with np.errstate(over="ignore"):  # too large numbers become infinite, which `write_features` refuses
        return array.astype(np.float32, copy=False)


@contextlib.contextmanager
def _npy_errors_named(path: Path) -> Iterator[None]:
    try:
        yield
    except (ValueError, EOFError, OSError) as error:
        raise PipelineError(f"{path}: not a readable .npy file of numbers ({' '.join(str(error).split())})") from None
