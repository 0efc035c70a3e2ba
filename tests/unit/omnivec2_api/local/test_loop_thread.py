from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from omnivec2.errors import ModelNotReadyError
from omnivec2_api.local.loop_thread import LoopThread


@pytest.fixture
def loop() -> Iterator[LoopThread]:
    thread = LoopThread()
    yield thread
    thread.stop()


async def name_of_thread() -> str:
    return threading.current_thread().name


def test_work_runs_in_the_thread_of_the_loop(loop: LoopThread) -> None:
    assert loop.call(name_of_thread()) == loop.submit(name_of_thread()).result() == "omnivec2-loop"


def test_only_the_thread_of_the_loop_is_the_current_one_within_its_work(loop: LoopThread) -> None:
    async def is_current() -> bool:
        return loop.is_current

    assert loop.call(is_current())
    assert not loop.is_current


def test_a_stopped_loop_takes_no_more_work() -> None:
    thread = LoopThread()
    thread.stop()
    with pytest.raises(ModelNotReadyError, match="closed"):
        thread.submit(name_of_thread())
