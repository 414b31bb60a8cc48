"""One array of a file of another project: what it must be, and why it cannot be used."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from pipeline.errors import PipelineError

NUMBER_KINDS = "fiu"
"""Kinds of numpy types that are accepted: floating point, signed and unsigned integers."""

NOT_IN_FILE = "not_in_file"
NO_ROWS = "no_rows"
NO_SUCH_KEY = "no_such_key"
UNREADABLE = "unreadable"
NOT_NUMBERS = "not_numbers"
NOT_TWO_DIMENSIONAL = "not_two_dimensional"
OTHER_CHANNELS = "other_channels"
NOT_FINITE = "not_finite"
ABSENT_REASONS = (NOT_IN_FILE, NO_ROWS)
"""Reasons of a video without features that are no fault of a file. All other reasons are."""


class ArrayError(PipelineError):
    """The array of one video cannot be used.

    Args:
        reason: code of the reason.
        message: what exactly is wrong, and where.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True)
class ArraySelector:
    """Which array to read where a video has several.

    Attributes:
        suffix: part of the file name between the id and `.npy` or `.pt`. None is no suffix, and refuses a folder whose
            names look like several arrays per video.
        key: path of the array inside the group of a video (HDF5), or its key in a dict (`.pt`). None takes the only
            array there.
    """

    suffix: str | None = None
    key: str | None = None


@dataclass(frozen=True)
class ArrayHeader:
    """Shape and type of an array that has not been read yet."""

    shape: tuple[int, ...]
    dtype: np.dtype

    def check(self, where: str) -> None:
        """Check that the array is [rows, channels] of numbers.

        Args:
            where: the file and the video.

        Raises:
            ArrayError: it is empty or something else.
        """
        if 0 in self.shape:
            raise ArrayError(NO_ROWS, f"{where} is empty: {list(self.shape)}")
        if self.dtype.kind not in NUMBER_KINDS:
            raise ArrayError(NOT_NUMBERS, f"{where} holds {self.dtype}, expected numbers")
        if len(self.shape) != 2:
            raise ArrayError(
                NOT_TWO_DIMENSIONAL,
                f"{where} is {list(self.shape)}, expected [rows, channels]; if each video has several arrays, choose "
                "one by its suffix",
            )


def to_float32(array: np.ndarray) -> Float[np.ndarray, "rows dim"]:
    """Convert numbers to float32; too large ones become infinite, which the store refuses."""
    with np.errstate(over="ignore"):
        return array.astype(np.float32, copy=False)


def list_names(names: list[str], limit: int = 10) -> str:
    """Join the first names, and say how many more there are."""
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more
