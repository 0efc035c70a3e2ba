from __future__ import annotations

import threading
from collections.abc import Sequence

import pytest

from service.monitoring.bounded_worker import BoundedWorker


def test_items_are_handled_in_order_and_in_batches_of_bounded_size() -> None:
    batches: list[list[int]] = []
    worker = BoundedWorker[int](
        "test",
        lambda items: batches.append(list(items)),
        most_items=100,
        most_bytes=1000,
        most_at_once=3,
        most_bytes_at_once=20,
    )
    for item in range(7):
        assert worker.offer(item, 8)
    worker.start()
    assert worker.wait_until_idle(5)
    assert batches == [[0, 1], [2, 3], [4, 5], [6]]
    assert worker.close(5)


def test_a_full_queue_takes_nothing_more_and_nobody_waits() -> None:
    go_on = threading.Event()
    seen: list[str] = []

    def handle(items: Sequence[str]) -> None:
        go_on.wait(10)
        seen.extend(items)

    worker = BoundedWorker[str]("test", handle, most_items=2, most_bytes=100)
    assert [worker.offer(word, 10) for word in ("a", "b", "c")] == [True, True, False]
    heavy = BoundedWorker[str]("test", handle, most_items=9, most_bytes=100)
    assert [heavy.offer("a", 60), heavy.offer("b", 60)] == [True, False]
    worker.start()
    go_on.set()
    assert worker.close(5)
    assert seen == ["a", "b"]
    assert not worker.offer("late", 1)


def test_a_defect_ends_neither_the_thread_nor_later_items(
    caplog: pytest.LogCaptureFixture,
) -> None:
    seen: list[int] = []

    def handle(items: Sequence[int]) -> None:
        if items[0] == 0:
            raise ZeroDivisionError("a defect")
        seen.extend(items)

    worker = BoundedWorker[int]("test", handle, most_items=5, most_bytes=100)
    worker.start()
    assert worker.offer(0, 1)
    assert worker.offer(1, 1)
    assert worker.wait_until_idle(5)
    assert seen == [1]
    assert "test failed" in caplog.text
    assert worker.close(5)


def test_a_worker_that_was_never_started_closes_at_once() -> None:
    worker = BoundedWorker[int]("test", lambda _: None, most_items=1, most_bytes=1)
    assert worker.close(0)
