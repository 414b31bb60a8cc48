"""Items come in order; what makes them goes on meanwhile, but not for ever."""

import threading
from collections.abc import Iterator

import pytest

from pipeline.features.extraction.prefetch import ahead


def test_items_come_in_order_and_an_error_in_its_turn() -> None:
    def items() -> Iterator[int]:
        yield from range(100)
        raise ValueError("broken")

    taken: list[int] = []
    with pytest.raises(ValueError, match="broken"):
        for item in ahead(items(), lambda _: 1, 7):
            taken.append(item)
    assert taken == list(range(100))


def test_no_more_is_made_than_memory_is_given() -> None:
    most = made = taken = 0
    lock = threading.Lock()

    def items() -> Iterator[int]:
        nonlocal made, most
        for number in range(200):
            with lock:
                made += 1
                most = max(most, made - taken)
            yield number

    for _ in ahead(items(), lambda _: 10, 45):
        with lock:
            taken += 1
    assert made == taken == 200
    assert most <= 5 + 2, "five that wait, one that is being made, one that is being taken"


def test_work_goes_on_while_an_item_is_looked_at() -> None:
    second = threading.Event()

    def items() -> Iterator[int]:
        yield 1
        second.set()
        yield 2

    for _ in ahead(items(), lambda _: 1, 10):
        assert second.wait(timeout=30)


def test_whoever_stops_early_leaves_no_thread_behind() -> None:
    closed = threading.Event()

    def items() -> Iterator[int]:
        try:
            yield from range(10**9)
        finally:
            closed.set()

    before = threading.active_count()
    found = ahead(items(), lambda _: 1, 3)
    assert next(found) == 0
    found.close()
    assert threading.active_count() == before
