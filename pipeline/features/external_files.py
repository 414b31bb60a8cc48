"""Features in other people's files: HDF5 files with a dataset for each video, or a folder of .npy files.

Nothing in them is executed: arrays of objects, which numpy would unpickle, are refused.
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

H5 = (".h5", ".hdf5")
NUMBERS = "fiu"
"""Kinds of numpy's types that are numbers: floats of any size, integers with sign and without."""


@dataclass(frozen=True)
class Header:
    """What is known of an array before it is read.

    Attributes:
        shape: of it.
        dtype: of its numbers.
    """

    shape: tuple[int, ...]
    dtype: np.dtype


class H5Source:
    """Open HDF5 files, one or several (TSP's come by subset).

    Attributes:
        path: of the file or their folder.
        videos: ids, sorted; at least one.

    Raises:
        PipelineError: one holds no datasets at its root, or something else there; a key cannot be a video id, or stands
            in two files.
    """

    def __init__(self, path: Path, files: Mapping[Path, h5py.File]) -> None:
        self.path = path
        self._files: dict[str, h5py.File] = {}
        for name, file in files.items():
            for key in file:
                linked = file.get(key, getlink=True)
                if not isinstance(linked, h5py.HardLink) or not isinstance(file[key], h5py.Dataset):
                    raise PipelineError(f"{name}: {key!r} is no dataset; expected one for each video, at the root")
                if key in self._files:
                    raise PipelineError(f"{name}: {key} stands in {self._files[key].filename} too; remove one")
                self._files[check_id(key, name)] = file
            if not len(file):
                raise PipelineError(f"{name}: holds no datasets; expected one for each video, at the root")
        self.videos: KeysView[str] = dict(sorted(self._files.items())).keys()

    def header(self, video: str) -> Header:
        """Shape and type of a video's array; reads next to nothing."""
        found = self._files[video][video]
        return Header(found.shape or (), found.dtype)

    def read(self, video: str) -> Float[np.ndarray, "clips dim"]:
        """A video's array, float32; it must have two dimensions.

        Raises:
            PipelineError: damaged.
        """
        file = self._files[video]
        try:
            return _float32(file[video][()])
        except OSError as error:
            raise PipelineError(f"{file.filename}: {video} is damaged ({error}); get the file again") from None


class NpySource:
    """A folder of files `<id><suffix>.npy`.

    Attributes:
        path: of the folder.
        videos: ids, sorted; at least one.

    Raises:
        PipelineError: there are none; an id is none.
    """

    def __init__(self, path: Path, suffix: str) -> None:
        self.path = path
        ending = f"{suffix}.npy"
        files = [file for file in path.iterdir() if file.name.endswith(ending)]
        self._files = {check_id(file.name.removesuffix(ending), file): file for file in sorted(files)}
        self.videos: KeysView[str] = self._files.keys()
        if not files:
            others = sorted(file.name for file in path.iterdir())[:3]
            raise PipelineError(f"{path}: holds no files *{ending}; there are {', '.join(others) or 'none at all'}")

    def header(self, video: str) -> Header:
        """Shape and type of a video's array; reads next to nothing.

        Raises:
            PipelineError: not a .npy file.
        """
        with _readable(self._files[video]), self._files[video].open("rb") as file:
            read = npy.read_array_header_1_0 if npy.read_magic(file) == (1, 0) else npy.read_array_header_2_0
            shape, _, dtype = read(file)
            return Header(shape, dtype)

    def read(self, video: str) -> Float[np.ndarray, "clips dim"]:
        """A video's array, float32; it must have two dimensions.

        Raises:
            PipelineError: cut short, or an array of objects.
        """
        with _readable(self._files[video]), self._files[video].open("rb") as file:
            return _float32(npy.read_array(file, allow_pickle=False))


Source = H5Source | NpySource
"""Arrays of videos, each read when asked for."""


@contextlib.contextmanager
def open_source(path: Path, suffix: str = "") -> Iterator[Source]:
    """Open features in a form that others have given them.

    Args:
        path: an HDF5 file, a folder of such (`.h5`, `.hdf5`), or a folder of .npy files.
        suffix: what stands between the id and `.npy`, as `_rgb` in `v_x_rgb.npy`.

    Raises:
        PipelineError: none of these, or nothing in it.
    """
    if not path.exists():
        raise PipelineError(f"{path}: no such file or folder of features")
    files = sorted(file for file in path.iterdir() if file.suffix in H5) if path.is_dir() else [path]
    if not files:
        yield NpySource(path, suffix)
        return
    if suffix:
        raise PipelineError(f"{path}: a suffix ({suffix}) is for folders of .npy files; HDF5 files have keys")
    with contextlib.ExitStack() as stack:
        yield H5Source(path, {file: stack.enter_context(_open_h5(file)) for file in files})


def _open_h5(path: Path) -> h5py.File:
    if not h5py.is_hdf5(path):
        raise PipelineError(f"{path}: neither an HDF5 file nor a folder of them or of .npy files")
    try:
        return h5py.File(path, "r")
    except OSError as error:
        raise PipelineError(f"{path}: not a readable HDF5 file ({error}); get it again") from None


def _float32(array: np.ndarray) -> Float[np.ndarray, "clips dim"]:
    with np.errstate(over="ignore"):  # becomes infinite, which is looked for where features are written
        return array.astype(np.float32, copy=False)


@contextlib.contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except (ValueError, EOFError, OSError) as error:
        raise PipelineError(f"{path}: not a readable .npy file of numbers ({' '.join(str(error).split())})") from None
