"""Prefetched items keep their order; the producer works ahead, within a limit, and can be stopped."""

import threading
from collections.abc import Iterator

import pytest

from pipeline.features.extraction.prefetch import prefetch


def test_prefetch_keeps_order_and_raises_an_error_after_the_items_before_it() -> None:
    def items() -> Iterator[int]:
        yield from range(100)
        raise ValueError("broken")

    received: list[int] = []
    with pytest.raises(ValueError, match="broken"):
        for item in prefetch(items(), lambda _: 1, 7):
            received.append(item)
    assert received == list(range(100))


def test_prefetch_stays_within_its_limit() -> None:
    max_ahead = num_produced = num_consumed = 0
    lock = threading.Lock()

    def items() -> Iterator[int]:
        nonlocal num_produced, max_ahead
        for number in range(200):
            with lock:
                num_produced += 1
                max_ahead = max(max_ahead, num_produced - num_consumed)
            yield number

    for _ in prefetch(items(), lambda _: 10, 45):
        with lock:
            num_consumed += 1
    assert num_produced == num_consumed == 200
    assert max_ahead <= 5 + 2, "five wait, one is being produced, one is being consumed"


def test_prefetch_produces_while_the_consumer_works() -> None:
    second = threading.Event()

    def items() -> Iterator[int]:
        yield 1
        second.set()
        yield 2

    for _ in prefetch(items(), lambda _: 1, 10):
        assert second.wait(timeout=30)


def test_closing_prefetch_early_ends_its_thread() -> None:
    closed = threading.Event()

    def items() -> Iterator[int]:
        try:
            yield from range(10**9)
        finally:
            closed.set()

    num_threads = threading.active_count()
    iterator = prefetch(items(), lambda _: 1, 3)
    assert next(iterator) == 0
    iterator.close()
    assert threading.active_count() == num_threads
