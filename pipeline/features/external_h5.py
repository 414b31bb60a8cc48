"""HDF5 files of features in two layouts: one dataset per video at the root (TSP), or one group per video (C3D, MDVC).

Links to other files, and links to other places of the same file, are not followed.
"""

from collections.abc import KeysView, Mapping
from pathlib import Path

import h5py
import numpy as np
from jaxtyping import Float

from pipeline.datasets.video_ids import check_id
from pipeline.errors import PipelineError
from pipeline.features.external_array import (
    NO_ROWS,
    NO_SUCH_KEY,
    UNREADABLE,
    ArrayError,
    ArrayHeader,
    list_names,
    to_float32,
)

H5_SUFFIXES = (".h5", ".hdf5")


class H5Source:
    """One or several open HDF5 files; those of TSP are divided by subset.

    Attributes:
        path: the file, or the folder of the files.
        videos: ids, sorted; at least one.
        key: path of the array inside the group of a video; empty if the arrays are at the root.
        key_is_found: whether `key` was not named but found: it is the only array in the first group.

    Raises:
        PipelineError: a file is empty, has links, or datasets and groups side by side at its root; a name there is not
            a valid video id; a video is in two files; `key` is needed or has no use.
    """

    def __init__(self, path: Path, files: Mapping[Path, h5py.File], key: str | None = None) -> None:
        self.path = path
        self._files: dict[str, h5py.File] = {}
        kinds: dict[type, str] = {}
        for name, file in files.items():
            for video in file:
                kinds.setdefault(_kind(file, video, name), f"{name}: {video!r}")
                if video in self._files:
                    raise PipelineError(f"{name}: {video} is in {self._files[video].filename} too; remove one")
                self._files[check_id(video, name)] = file
            if not len(file):
                raise PipelineError(f"{name}: has no datasets; expected one, or a group, per video at the root")
        if len(kinds) > 1:
            raise PipelineError(
                f"{kinds[h5py.Group]} is not a dataset, {kinds[h5py.Dataset]} is one; expected one per video at the "
                "root, or one group per video"
            )
        self.videos: KeysView[str] = dict(sorted(self._files.items())).keys()
        self.key_is_found = h5py.Group in kinds and not key
        if key and h5py.Dataset in kinds:
            raise PipelineError(f"{path}: has one dataset per video at the root; leave out the key {key!r}")
        self.key = self._find_key() if self.key_is_found else (key or "")

    def header(self, video: str) -> ArrayHeader:
        """Return shape and type of a video's array without reading its numbers.

        Raises:
            ArrayError: the group of the video has no such array, or is damaged.
        """
        dataset = self._dataset(video)
        return ArrayHeader((0,) if dataset.shape is None else dataset.shape, dataset.dtype)

    def read(self, video: str) -> Float[np.ndarray, "rows dim"]:
        """Read a video's array, which must have two dimensions, as float32.

        Raises:
            ArrayError: the file is damaged.
        """
        try:
            return to_float32(self._dataset(video)[()])
        except OSError as error:
            raise self._damaged(video, error) from None

    def _dataset(self, video: str) -> h5py.Dataset:
        file = self._files[video]
        try:
            item = file[video]
            if not self.key:
                return item
            keys = _list_datasets(item)
            if self.key in keys:
                return item[self.key]
        except (OSError, KeyError, RuntimeError) as error:
            raise self._damaged(video, error) from None
        if not keys:
            raise ArrayError(NO_ROWS, f"{file.filename}: the group {video} has no datasets")
        raise ArrayError(
            NO_SUCH_KEY, f"{file.filename}: the group {video} has no dataset {self.key!r}; it has {list_names(keys)}"
        )

    def _damaged(self, video: str, error: Exception) -> ArrayError:
        return ArrayError(
            UNREADABLE, f"{self._files[video].filename}: {video} is damaged ({error}); download the file again"
        )

    def _find_key(self) -> str:
        """Return the only key of the first group that has any."""
        for video in self.videos:
            keys = _list_datasets(self._files[video][video])
            if len(keys) > 1:
                raise PipelineError(
                    f"{self._files[video].filename}: the group {video} has several datasets; choose one by its key "
                    f"(--key): {list_names(keys)}"
                )
            if keys:
                return keys[0]
        raise PipelineError(f"{self.path}: has no datasets in its groups; expected one per video at least")


def _kind(file: h5py.File, video: str, name: Path) -> type:
    """Return whether an entry of the root is a dataset or a group.

    Raises:
        PipelineError: it is a link, or of another kind.
    """
    is_own = isinstance(file.get(video, getlink=True), h5py.HardLink)
    kind = file.get(video, getclass=True) if is_own else None
    if kind not in (h5py.Dataset, h5py.Group):
        raise PipelineError(
            f"{name}: {video!r} is not a dataset, and not a group; expected one per video at the root, without links"
        )
    return h5py.Dataset if kind is h5py.Dataset else h5py.Group


def _list_datasets(group: h5py.Group) -> list[str]:
    """Return the paths of all datasets inside a group; `visititems` follows no links."""
    keys: list[str] = []

    def add(name: str, item: h5py.Dataset | h5py.Group) -> None:
        if isinstance(item, h5py.Dataset):
            keys.append(name)

    group.visititems(add)
    return sorted(keys)
