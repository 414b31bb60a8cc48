"""Producing items ahead of their consumer, in a thread, within a limit of memory."""

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Generic, TypeVar

T = TypeVar("T")


def prefetch(items: Iterable[T], size: Callable[[T], int], limit: int) -> Iterator[T]:
    """Yield items in order while a thread produces the next ones.

    Args:
        items: the producer. An exception that it raises is raised here, after the items before it.
        size: size of an item.
        limit: the thread pauses while the items that wait have at least this size in total.
    """
    queue = _BoundedQueue(size, limit)
    thread = threading.Thread(target=queue.fill, args=(items,), name="prefetch", daemon=True)
    thread.start()
    try:
        while queue.wait():
            yield queue.pop()
    finally:
        queue.close()
        thread.join()
    queue.raise_error()


class _BoundedQueue(Generic[T]):
    """Items that are produced and not yet consumed."""

    def __init__(self, size: Callable[[T], int], limit: int) -> None:
        self._size, self._limit = size, limit
        self._items: deque[T] = deque()
        self._total_size = 0
        self._finished = self._closed = False
        self._error: BaseException | None = None
        self._changed = threading.Condition()

    def fill(self, items: Iterable[T]) -> None:
        """Produce all items, or until the consumer closes the queue."""
        try:
            for item in items:
                with self._changed:
                    self._changed.wait_for(lambda: self._total_size < self._limit or self._closed)
                    if self._closed:
                        return
                    self._items.append(item)
                    self._total_size += self._size(item)
                    self._changed.notify_all()
        except BaseException as error:  # the consumer raises it, of whatever type
            self._error = error
        finally:
            with self._changed:
                self._finished = True
                self._changed.notify_all()

    def wait(self) -> bool:
        """Wait for an item; return False if the producer has ended."""
        with self._changed:
            self._changed.wait_for(lambda: bool(self._items) or self._finished)
            return bool(self._items)

    def pop(self) -> T:
        """Remove and return the next item. There must be one."""
        with self._changed:
            item = self._items.popleft()
            self._total_size -= self._size(item)
            self._changed.notify_all()
            return item

    def raise_error(self) -> None:
        """Raise the exception that ended the producer, if there is one."""
        if self._error is not None:
            raise self._error

    def close(self) -> None:
        """Stop the producer."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
