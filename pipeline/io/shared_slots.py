"""Memory that two processes share: slots for arrays, which are much faster than a pipe."""

import mmap
import os
import tempfile

import numpy as np
from jaxtyping import UInt8

NUM_SLOTS = 4
"""Number of arrays that wait for their reader."""


class SharedSlots:
    """Slots of one size; both processes make one of these, from the same file.

    Args:
        file: descriptor of the file in memory, see `create_shared_file`.
    """

    def __init__(self, file: int) -> None:
        self._file = file
        self._slot_bytes = 0
        self._memory: mmap.mmap | None = None

    def get(self, index: int, num_bytes: int) -> UInt8[np.ndarray, "num_bytes"]:
        """Return a slot. Both processes must ask for slots of the same sizes in the same order.

        Args:
            index: of the slot.
            num_bytes: size of the slot. If it is larger than those before, all slots get this size.
        """
        if self._memory is None or num_bytes > self._slot_bytes:
            size = NUM_SLOTS * num_bytes
            if os.fstat(self._file).st_size < size:
                os.ftruncate(self._file, size)
            self._slot_bytes, self._memory = num_bytes, mmap.mmap(self._file, size)
        return np.frombuffer(self._memory, np.uint8, num_bytes, index * self._slot_bytes)


def create_shared_file() -> int:
    """Create a file without a name, in memory where the system can; return its descriptor."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("frames")
    with tempfile.TemporaryFile() as file:  # a system other than Linux
        return os.dup(file.fileno())
