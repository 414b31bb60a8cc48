"""Garbage collection during an evaluation: none."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def pause_garbage_collection() -> Iterator[None]:
    """Let Python search for no cycles of objects inside.

    An evaluation holds hundreds of thousands of texts and lists at a time, and makes no cycles. Every search would read
    them all and free nothing.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
