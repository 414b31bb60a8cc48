"""Work that is done ahead, in a thread of its own, as far as memory allows."""

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Generic, TypeVar

T = TypeVar("T")


def ahead(items: Iterable[T], size: Callable[[T], int], limit: int) -> Iterator[T]:
    """Give items in their order; the next ones are made meanwhile.

    Args:
        items: what is made; an exception that ends it is raised here, in its turn.
        size: of an item.
        limit: no more are made while those that were made and not yet taken have this size together.
    """
    shelf = _Shelf(size, limit)
    thread = threading.Thread(target=shelf.fill, args=(items,), name="ahead", daemon=True)
    thread.start()
    try:
        yield from shelf
    finally:
        shelf.close()
        thread.join()


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

    def __iter__(self) -> Iterator[T]:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._items or self._full)
                if not self._items:
                    break
                item = self._items.popleft()
                self._held -= self._size(item)
                self._changed.notify_all()
            yield item
        if self._failure is not None:
            raise self._failure

    def close(self) -> None:
        """Nobody wants more."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
