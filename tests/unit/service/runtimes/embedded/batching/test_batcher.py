from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping

import numpy as np
import pytest

from omnivec2.errors import ModelNotReadyError, OverloadedError, RefusedTensorsError
from omnivec2.preprocess import Array
from service.access.priority import Priority
from service.request_context import RequestContext, in_request
from service.runtimes.base import Inference
from service.runtimes.embedded.batching.batcher import Batcher
from service.runtimes.embedded.batching.graph_pass import BatchObserver
from service.runtimes.ensemble import single_part


class Engine:
    """Two engines that double their input; waits at a gate so that a test can let jobs pile up."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Event()
        self.batches: list[tuple[str, int]] = []
        self.failure: Exception | None = None
        self.lanes = {name: Lane(self, name) for name in "ab"}

    def compute(self, name: str, inputs: Mapping[str, Array]) -> Mapping[str, Array]:
        self.entered.set()
        assert self.gate.wait(5)
        self.batches.append((name, len(inputs["x"])))
        if (inputs["x"] < 0).any():
            raise RefusedTensorsError("no negative ones")
        if self.failure is not None:
            raise self.failure
        return {"y": inputs["x"] * 2}


class Lane:
    """One of the two."""

    max_rows = 8
    pads = True
    max_token_pairs = 1000
    token_tensors: frozenset[str] = frozenset()

    def __init__(self, engine: Engine, name: str) -> None:
        self.engine, self.name = engine, name

    def count_tokens(self, inputs: Mapping[str, Array]) -> int:
        return 0

    def run(self, inputs: Mapping[str, Array]) -> Mapping[str, Array]:
        return self.engine.compute(self.name, inputs)


def submit(batcher: Batcher, lane: Lane, inputs: Mapping[str, Array]):
    """Submit rows for one graph by itself."""
    return first_of(batcher.submit(single_part(lane.name, "1", ("x",), ("y",)), [lane], inputs))


async def first_of(call) -> Inference:
    (answer,) = await call
    return answer


def rows(*values: float) -> dict[str, Array]:
    return {"x": np.array(values, np.float32).reshape(-1, 1)}


def submit_as(priority: Priority, batcher: Batcher, lane: Lane, inputs: Mapping[str, Array]):
    """Start to submit rows of a request of a class."""
    with in_request(RequestContext(priority=priority)):
        return asyncio.create_task(submit(batcher, lane, inputs))


async def pile_up(batcher: Batcher, engine: Engine, *jobs: tuple[str, dict[str, Array]]):
    """Submit one job that keeps the worker busy and the others behind it; then let go."""
    engine.gate.clear()
    engine.entered.clear()
    first = asyncio.create_task(submit(batcher, engine.lanes["b"], rows(0)))
    await asyncio.to_thread(engine.entered.wait, 5)
    tasks = [
        asyncio.create_task(submit(batcher, engine.lanes[name], inputs)) for name, inputs in jobs
    ]
    await asyncio.sleep(0)
    engine.gate.set()
    await first
    return await asyncio.gather(*tasks, return_exceptions=True)


def run(test, **options):
    """Run a coroutine function with a batcher of one worker."""

    async def main() -> None:
        engine = Engine()
        batcher = Batcher(**{"workers": 1, "capacity": 20, "observer": BatchObserver(), **options})
        try:
            await test(batcher, engine)
        finally:
            engine.gate.set()
            await asyncio.to_thread(batcher.close)

    asyncio.run(main())


def test_a_lone_request_is_computed_at_once() -> None:
    async def test(batcher: Batcher, engine: Engine) -> None:
        answer = await submit(batcher, engine.lanes["a"], rows(1, 2))
        assert answer.outputs["y"].ravel().tolist() == [2, 4]
        assert answer.compute_seconds >= 0

    run(test)


def test_requests_that_wait_are_computed_together_and_get_their_own_rows() -> None:
    async def test(batcher: Batcher, engine: Engine) -> None:
        jobs = [("a", rows(i, i + 10)) for i in range(3)]
        answers = await pile_up(batcher, engine, *jobs)
        assert engine.batches == [("b", 1), ("a", 6)]
        assert [a.outputs["y"].ravel().tolist() for a in answers] == [[0, 20], [2, 22], [4, 24]]

    run(test)


def test_a_batch_never_exceeds_the_limit_of_its_model() -> None:
    async def test(batcher: Batcher, engine: Engine) -> None:
        await pile_up(batcher, engine, *[("a", rows(1, 2, 3))] * 4)
        assert engine.batches[1:] == [("a", 6), ("a", 6)]

    run(test)


def test_requests_to_different_models_do_not_meet() -> None:
    async def test(batcher: Batcher, engine: Engine) -> None:
        await pile_up(batcher, engine, ("a", rows(1)), ("b", rows(2)), ("a", rows(3)))
        assert engine.batches[1:] == [("a", 2), ("b", 1)]

    run(test)


def test_requests_of_very_different_length_do_not_meet() -> None:
    async def test(batcher: Batcher, engine: Engine) -> None:
        short, long = {"x": np.zeros((1, 5), np.float32)}, {"x": np.zeros((1, 100), np.float32)}
        await pile_up(batcher, engine, ("a", short), ("a", long), ("a", short))
        assert engine.batches[1:] == [("a", 2), ("a", 1)]

    run(test)


def test_lengths_meet_only_where_padding_does_not_show_in_the_answer() -> None:
    async def test(batcher: Batcher, engine: Engine) -> None:
        short, long = ({"x": np.ones((1, size), np.float32)} for size in (130, 190))
        jobs = [("a", short), ("a", long), ("a", short)]
        answers = await pile_up(batcher, engine, *jobs)
        assert [answer.outputs["y"].shape for answer in answers] == [(1, 190)] * 3
        engine.lanes["a"].pads = False
        answers = await pile_up(batcher, engine, *jobs)
        assert [answer.outputs["y"].shape for answer in answers] == [(1, 130), (1, 190), (1, 130)]
        assert sorted(engine.batches[-2:]) == [("a", 1), ("a", 2)]

    run(test)


def test_a_full_queue_refuses_more() -> None:
    async def test(batcher: Batcher, engine: Engine) -> None:
        answers = await pile_up(batcher, engine, ("a", rows(1, 2)), ("a", rows(3)))
        assert isinstance(answers[1], OverloadedError)
        assert answers[0].outputs["y"].ravel().tolist() == [2, 4]

    run(test, capacity=2)


def test_a_failing_batch_fails_its_requests_and_not_the_next() -> None:
    async def test(batcher: Batcher, engine: Engine) -> None:
        engine.failure = ModelNotReadyError("broken")
        with pytest.raises(ModelNotReadyError, match="broken"):
            await submit(batcher, engine.lanes["a"], rows(1))
        engine.failure = None
        assert (await submit(batcher, engine.lanes["a"], rows(1))).outputs["y"].item() == 2

    run(test)


def test_values_the_engine_refuses_fail_their_own_request_only() -> None:
    async def test(batcher: Batcher, engine: Engine) -> None:
        jobs = [("a", rows(1)), ("a", rows(-1)), ("a", rows(2, 3))]
        answers = await pile_up(batcher, engine, *jobs)
        assert engine.batches[1:] == [("a", 4), ("a", 1), ("a", 1), ("a", 2)]
        assert isinstance(answers[1], RefusedTensorsError)
        assert [answers[i].outputs["y"].ravel().tolist() for i in (0, 2)] == [[2], [4, 6]]

    run(test)


def test_a_cancelled_request_is_not_computed() -> None:
    async def test(batcher: Batcher, engine: Engine) -> None:
        engine.gate.clear()
        engine.entered.clear()
        busy = asyncio.create_task(submit(batcher, engine.lanes["b"], rows(0)))
        await asyncio.to_thread(engine.entered.wait, 5)
        left = asyncio.create_task(submit(batcher, engine.lanes["a"], rows(1)))
        await asyncio.sleep(0)
        left.cancel()
        await asyncio.gather(left, return_exceptions=True)
        engine.gate.set()
        await busy
        await submit(batcher, engine.lanes["b"], rows(2))
        assert ("a", 1) not in engine.batches

    run(test)


def test_cancelled_requests_take_no_place_in_a_batch() -> None:
    async def test(batcher: Batcher, engine: Engine) -> None:
        engine.gate.clear()
        engine.entered.clear()
        busy = asyncio.create_task(submit(batcher, engine.lanes["b"], rows(0)))
        await asyncio.to_thread(engine.entered.wait, 5)
        tasks = [
            asyncio.create_task(submit(batcher, engine.lanes["a"], rows(i))) for i in range(16)
        ]
        await asyncio.sleep(0)
        for task in tasks[:8]:
            task.cancel()
        await asyncio.gather(*tasks[:8], return_exceptions=True)
        engine.gate.set()
        await asyncio.gather(busy, *tasks[8:])
        assert engine.batches[1:] == [("a", 8)]
        assert batcher.waiting_rows == 0

    run(test)


def test_closing_refuses_what_waits_and_what_comes() -> None:
    async def test(batcher: Batcher, engine: Engine) -> None:
        engine.gate.clear()
        engine.entered.clear()
        busy = asyncio.create_task(submit(batcher, engine.lanes["b"], rows(1)))
        await asyncio.to_thread(engine.entered.wait, 5)
        waiting = asyncio.create_task(submit(batcher, engine.lanes["a"], rows(1)))
        await asyncio.sleep(0)
        closing = asyncio.create_task(asyncio.to_thread(batcher.close))
        await asyncio.sleep(0.05)
        engine.gate.set()
        await closing
        assert (await busy).outputs["y"].item() == 2
        with pytest.raises(ModelNotReadyError):
            await waiting
        with pytest.raises(ModelNotReadyError):
            await submit(batcher, engine.lanes["a"], rows(1))

    run(test)


def test_idle_workers_share_what_waits() -> None:
    async def test(batcher: Batcher, engine: Engine) -> None:
        answers = await asyncio.gather(
            *(submit(batcher, engine.lanes["a"], rows(i)) for i in range(8))
        )
        assert [a.outputs["y"].item() for a in answers] == [i * 2 for i in range(8)]
        assert batcher.waiting_rows == 0

    run(test, workers=3)


def test_of_the_waiting_requests_urgent_ones_are_computed_first() -> None:
    engine = Engine()
    for lane in engine.lanes.values():
        lane.max_rows = 1
    batcher = Batcher(workers=1, capacity=100, observer=BatchObserver())
    order: list[str] = []

    async def main() -> None:
        engine.gate.clear()
        engine.entered.clear()
        first = asyncio.create_task(submit(batcher, engine.lanes["b"], rows(0)))
        await asyncio.to_thread(engine.entered.wait, 5)
        tasks = []
        for priority in (Priority.LOW, Priority.NORMAL, Priority.HIGH, Priority.LOW):
            # The two lanes are queues of their own: the order holds across them as well.
            for name in "ab":
                task = submit_as(priority, batcher, engine.lanes[name], rows(1))
                task.add_done_callback(lambda _, label=priority.label: order.append(label))
                tasks.append(task)
        await asyncio.sleep(0)
        engine.gate.set()
        await asyncio.gather(first, *tasks)

    try:
        asyncio.run(main())
    finally:
        batcher.close()
    assert order == ["high"] * 2 + ["normal"] * 2 + ["low"] * 4
