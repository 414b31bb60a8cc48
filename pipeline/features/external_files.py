"""Feature files of other projects: HDF5 files, or a folder with one .npy or .pt file per video.

Nothing in the files is executed: object arrays, which numpy would unpickle, are refused, and of pickled files only
tensors and arrays of numbers are read.
"""

import contextlib
from collections.abc import Iterator, KeysView
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
from jaxtyping import Float
from numpy.lib import format as npy

from pipeline.datasets.video_ids import check_id
from pipeline.errors import PipelineError
from pipeline.features.external_array import (
    NO_SUCH_KEY,
    NOT_NUMBERS,
    UNREADABLE,
    ArrayError,
    ArrayHeader,
    ArraySelector,
    list_names,
    to_float32,
)
from pipeline.features.external_h5 import H5_SUFFIXES, H5Source

if TYPE_CHECKING:
    import torch

NPY_SUFFIX = ".npy"
TENSOR_SUFFIXES = (".pt", ".pth")
MAX_SUFFIXES = 16
"""Most arrays that one video has in a folder; more names with the same beginning are those of several videos."""


class NpySource:
    """A folder of files `<id><suffix>.npy`.

    Attributes:
        path: the folder.
        videos: ids, sorted.

    Raises:
        PipelineError: one of the names is not a valid video id.
    """

    def __init__(self, path: Path, files: dict[str, Path]) -> None:
        self.path = path
        self._files = files
        self.videos: KeysView[str] = files.keys()

    def header(self, video: str) -> ArrayHeader:
        """Return shape and type of a video's array without reading its numbers.

        Raises:
            ArrayError: not a .npy file.
        """
        with _npy_errors_named(self._files[video]), self._files[video].open("rb") as file:
            read = npy.read_array_header_1_0 if npy.read_magic(file) == (1, 0) else npy.read_array_header_2_0
            shape, _, dtype = read(file)
            return ArrayHeader(shape, dtype)

    def read(self, video: str) -> Float[np.ndarray, "rows dim"]:
        """Read a video's array, which must have two dimensions, as float32.

        Raises:
            ArrayError: the file is truncated or holds an object array.
        """
        with _npy_errors_named(self._files[video]), self._files[video].open("rb") as file:
            return to_float32(npy.read_array(file, allow_pickle=False))


class TensorSource:
    """A folder of files `<id><suffix>.pt`: a tensor each, or a dict with one.

    Attributes:
        path: the folder.
        videos: ids, sorted.
        key: key of the tensor in the dicts; None takes the only tensor.
    """

    def __init__(self, path: Path, files: dict[str, Path], key: str | None) -> None:
        self.path = path
        self.key = key
        self._files = files
        self.videos: KeysView[str] = files.keys()

    def header(self, video: str) -> ArrayHeader:
        """Return shape and type of a video's tensor; its numbers are not read if torch can map the file.

        Raises:
            ArrayError: the file cannot be read without executing code, or does not hold one tensor.
        """
        tensor = self._load(video)
        return ArrayHeader(tuple(tensor.shape), _numpy_dtype(tensor))

    def read(self, video: str) -> Float[np.ndarray, "rows dim"]:
        """Read a video's tensor, which must have two dimensions, as float32.

        Raises:
            ArrayError: as for `header`.
        """
        return self._load(video).float().numpy()

    def _load(self, video: str) -> "torch.Tensor":
        # Imported here, so that other formats do not wait for torch.
        import torch

        from pipeline.training.torch_files import load_torch_file

        path = self._files[video]
        try:
            content = load_torch_file(path, mmap=True)
        except PipelineError as error:
            raise ArrayError(UNREADABLE, str(error)) from None
        tensor = self._choose(path, content) if isinstance(content, dict) else content
        if isinstance(tensor, np.ndarray) and tensor.dtype.kind in "fiub":
            tensor = torch.from_numpy(tensor)
        if not isinstance(tensor, torch.Tensor) or tensor.layout != torch.strided or tensor.is_quantized:
            raise ArrayError(NOT_NUMBERS, f"{path}: holds {type(tensor).__name__}, expected a tensor of numbers")
        return tensor.detach()

    def _choose(self, path: Path, content: dict[Any, Any]) -> Any:
        """Return the tensor of a dict that has the key, or the only one."""
        import torch

        keys = [key for key, value in content.items() if isinstance(value, torch.Tensor | np.ndarray)]
        if self.key is not None and self.key in keys:
            return content[self.key]
        if self.key is None and len(keys) == 1:
            return content[keys[0]]
        problem = f"has no tensor {self.key!r}" if self.key is not None else f"has {len(keys)} tensors"
        names = list_names([str(key) for key in content]) or "none"
        raise ArrayError(NO_SUCH_KEY, f"{path}: {problem}; choose one by its key (--key); its keys are {names}")


ExternalSource = H5Source | NpySource | TensorSource
"""Arrays of videos that are read on demand."""


@contextlib.contextmanager
def open_source(path: Path, selector: ArraySelector | None = None) -> Iterator[ExternalSource]:
    """Open features in a format of another project.

    Args:
        path: an HDF5 file, a folder of HDF5 files (`.h5`, `.hdf5`), of .npy files, or of .pt files. If a folder has
            several of these, the first in this order is read.
        selector: which array to read where a video has several.

    Raises:
        PipelineError: the path has none of these formats, or is empty; an option has no use for the format.
    """
    selector = selector or ArraySelector()
    if not path.exists():
        raise PipelineError(f"{path}: no such file or folder of features")
    files = sorted(file for file in path.iterdir() if file.suffix in H5_SUFFIXES) if path.is_dir() else [path]
    if not files:
        yield _open_folder(path, selector)
        return
    if selector.suffix:
        raise PipelineError(
            f"{path}: a suffix ({selector.suffix}) applies to folders of .npy and .pt files only, not to HDF5 files"
        )
    with contextlib.ExitStack() as stack:
        yield H5Source(path, {file: stack.enter_context(_open_h5(file)) for file in files}, selector.key)


def find_array_suffixes(videos: KeysView[str]) -> list[str]:
    """Find the suffixes of names that are those of several arrays per video: every video has every suffix.

    Returns:
        suffixes, such as `_flow` and `_rgb`; none if the names look like those of one array per video.
    """
    names = sorted(videos)
    first = names[0]
    for end in (index for index in range(len(first) - 1, 0, -1) if first[index] == "_"):
        suffixes = [name[end:] for name in names if name.startswith(f"{first[:end]}_")]
        if not 1 < len(suffixes) <= MAX_SUFFIXES:
            continue
        stems = {name.removesuffix(suffix) for name in names for suffix in suffixes if name.endswith(suffix)}
        combinations = {f"{stem}{suffix}" for stem in stems for suffix in suffixes}
        if len(stems) > 1 and combinations == set(names):
            return suffixes
    return []


def _open_folder(path: Path, selector: ArraySelector) -> NpySource | TensorSource:
    suffix = selector.suffix or ""
    names = sorted(file.name for file in path.iterdir())
    for formats in ((NPY_SUFFIX,), TENSOR_SUFFIXES):
        files: dict[str, Path] = {}
        for name in names:
            ending = next((f"{suffix}{end}" for end in formats if name.endswith(f"{suffix}{end}")), None)
            if ending is None or name.startswith("._"):  # file managers of macOS put `._x.npy` beside x.npy
                continue
            video = check_id(name.removesuffix(ending), path / name)
            if video in files:
                raise PipelineError(f"{path / name}: {files[video].name} is of the same video; remove one")
            files[video] = path / name
        if files and formats == TENSOR_SUFFIXES:
            return TensorSource(path, files, selector.key)
        if files and selector.key is not None:
            raise PipelineError(f"{path}: a .npy file has one array; leave out the key {selector.key!r}")
        if files:
            return NpySource(path, files)
    raise PipelineError(
        f"{path}: has no files *{suffix}{NPY_SUFFIX} or *{suffix}{TENSOR_SUFFIXES[0]}; it has "
        f"{', '.join(names[:3]) or 'no files at all'}"
    )


def _open_h5(path: Path) -> h5py.File:
    if not h5py.is_hdf5(path):
        raise PipelineError(f"{path}: neither an HDF5 file nor a folder of HDF5, .npy or .pt files")
    try:
        return h5py.File(path, "r")
    except OSError as error:
        raise PipelineError(f"{path}: not a readable HDF5 file ({error}); download it again") from None


def _numpy_dtype(tensor: "torch.Tensor") -> np.dtype:
    """Return a type of numpy of the same kind as the tensor's, which numpy may lack (bfloat16)."""
    import torch

    if tensor.is_floating_point():
        return np.dtype(np.float32)
    if tensor.is_complex():
        return np.dtype(np.complex64)
    return np.dtype(np.bool_ if tensor.dtype == torch.bool else np.int64)


@contextlib.contextmanager
def _npy_errors_named(path: Path) -> Iterator[None]:
    try:
        yield
    except (ValueError, EOFError, OSError) as error:
        reason = " ".join(str(error).split())
        raise ArrayError(UNREADABLE, f"{path}: not a readable .npy file of numbers ({reason})") from None
