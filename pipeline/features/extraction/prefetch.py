"""Work that is done ahead, in a thread of its own, as far as memory allows."""

import math
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Generic, TypeVar

T = TypeVar("T")


class StalledError(Exception):
    """The next item does not come."""


def ahead(items: Iterable[T], size: Callable[[T], int], limit: int, timeout_s: float = math.inf) -> Iterator[T]:
    """Give items in their order; the next ones are made meanwhile.

    Args:
        items: what is made; an exception that ends it is raised here, in its turn.
        size: of an item.
        limit: no more are made while those that were made and not yet taken have this size together.
        timeout_s: how long to wait for an item.

    Raises:
        StalledError: that was not long enough. The thread is left behind, and ends if it ever gets on.
    """
    shelf = _Shelf(size, limit)
    thread = threading.Thread(target=shelf.fill, args=(items,), name="ahead", daemon=True)
    thread.start()
    stalled = False
    try:
        while shelf.wait(timeout_s):
            yield shelf.take()
        stalled = not shelf.full
        if stalled:
            raise StalledError
    finally:
        shelf.close()
        if not stalled:
            thread.join()
    shelf.check()


def patiently(changed: threading.Condition, ready: Callable[[], bool], timeout_s: float) -> bool:
    """Wait until something is so; gives whether it came to that in time."""
    return changed.wait_for(ready, None if math.isinf(timeout_s) else timeout_s)


class _Shelf(Generic[T]):
    """Items that were made and not yet taken."""

    def __init__(self, size: Callable[[T], int], limit: int) -> None:
        self._size, self._limit = size, limit
        self._items: deque[T] = deque()
        self._held = 0
        self._full = self._closed = False
        self._failure: BaseException | None = None
        self._changed = threading.Condition()

    def fill(self, items: Iterable[T]) -> None:
        """Make all items, unless nobody wants them any more."""
        try:
            for item in items:
                with self._changed:
                    self._changed.wait_for(lambda: self._held < self._limit or self._closed)
                    if self._closed:
                        return
                    self._items.append(item)
                    self._held += self._size(item)
                    self._changed.notify_all()
        except BaseException as error:  # whatever it is, it belongs to whoever takes the items
            self._failure = error
        finally:
            with self._changed:
                self._full = True
                self._changed.notify_all()

    @property
    def full(self) -> bool:
        """Whether all items were made."""
        with self._changed:
            return self._full

    def wait(self, timeout_s: float) -> bool:
        """Wait for an item; gives whether there is one, not only the end of all or of the time."""
        with self._changed:
            patiently(self._changed, lambda: bool(self._items) or self._full, timeout_s)
            return bool(self._items)

    def take(self) -> T:
        """The next item, which is there."""
        with self._changed:
            item = self._items.popleft()
            self._held -= self._size(item)
            self._changed.notify_all()
            return item

    def check(self) -> None:
        """Raise what ended the making of items, if something did."""
        if self._failure is not None:
            raise self._failure

    def close(self) -> None:
        """Nobody wants more."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
