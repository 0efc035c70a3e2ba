from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import ExitStack

import pytest

from omnivec2.errors import InvalidInputError, OverloadedError
from omnivec2.spec import HeadSpec
from service.access.priority import Priority
from service.admission.admission_control import AdmissionControl
from service.admission.ticket import Ticket
from tests.support.service_parts.service_fakes import letters_spec

ONE = letters_spec(task="one")
OTHER = letters_spec(task="other")
THIRD = letters_spec(task="third")


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def enter(
    admission: AdmissionControl,
    spec: HeadSpec = ONE,
    nbytes: int | None = 10,
    seconds: float = 30,
    priority: Priority = Priority.HIGH,
) -> Ticket:
    """Admit a request; by default one that may use the whole queue."""
    return admission.admit([spec], "file", nbytes, seconds, priority)


def on_a_loop(test: Callable[[], Awaitable[None]]) -> None:
    async def main() -> None:
        await test()

    asyncio.run(main())


def answer(admission: AdmissionControl, clock: Clock, seconds: float, spec: HeadSpec = ONE) -> None:
    """Answer one request of so many seconds of work, with none beside it."""
    with enter(admission, spec) as ticket:
        ticket.begin_work()
        ticket.expect_inputs(1)
        ticket.record_tokens(132)
        clock.now += seconds
        ticket.record_seconds(seconds)
        ticket.learn()


def test_more_requests_than_allowed_are_refused_until_one_leaves() -> None:
    async def test() -> None:
        admission = AdmissionControl(max_requests=1, max_bytes=10)
        with enter(admission), pytest.raises(OverloadedError):
            enter(admission)
        with enter(admission):
            assert admission.requests == 1
            with pytest.raises(OverloadedError):
                admission.check_requests()
        assert admission.requests == 0
        admission.check_requests()

    on_a_loop(test)


def test_bytes_are_given_back_when_a_request_leaves() -> None:
    async def test() -> None:
        admission = AdmissionControl(max_requests=2, max_bytes=10)
        with enter(admission) as first:
            first.hold_bytes(8)
            with enter(admission) as second, pytest.raises(OverloadedError):
                second.hold_bytes(3)
        assert admission.bytes == 0

    on_a_loop(test)


def fill(
    admission: AdmissionControl,
    spec: HeadSpec,
    stack: ExitStack,
    priority: Priority = Priority.HIGH,
) -> int:
    """Return the number of requests to a head that are admitted until one is refused."""
    for count in range(10_000):
        try:
            ticket = stack.enter_context(enter(admission, spec, priority=priority))
        except OverloadedError:
            return count
        ticket.begin_work()
    raise AssertionError("nothing is ever refused")


def test_as_much_is_admitted_as_can_be_done_in_time() -> None:
    async def test() -> None:
        clock = Clock()
        admission = AdmissionControl(10_000, 10**9, max_queue_seconds=1.0, clock=clock)
        for _ in range(100):
            answer(admission, clock, 0.01)
        assert admission.drain_rate.value == pytest.approx(1.0, rel=0.05)
        with ExitStack() as stack:
            # Half of the queue's second is left for other models.
            assert fill(admission, ONE, stack) == pytest.approx(51, abs=5)
            assert fill(admission, OTHER, stack) > 0
            assert admission.wait_seconds <= 1.1
        assert admission.work_seconds == 0

    on_a_loop(test)


def test_less_urgent_requests_are_refused_while_more_urgent_ones_are_admitted() -> None:
    async def test() -> None:
        clock = Clock()
        admission = AdmissionControl(10_000, 10**9, max_queue_seconds=1.0, clock=clock)
        for _ in range(100):
            answer(admission, clock, 0.01)
        with ExitStack() as stack:
            assert fill(admission, ONE, stack, Priority.LOW) == pytest.approx(20, abs=3)
            assert fill(admission, ONE, stack, Priority.NORMAL) == pytest.approx(15, abs=3)
            assert fill(admission, ONE, stack, Priority.LOW) == 0
            assert fill(admission, ONE, stack, Priority.HIGH) == pytest.approx(15, abs=3)
            assert fill(admission, ONE, stack, Priority.NORMAL) == 0
            # What is left belongs to other heads, also among the less urgent.
            assert fill(admission, OTHER, stack, Priority.NORMAL) > 0

    on_a_loop(test)


def test_places_are_kept_for_urgent_requests() -> None:
    async def test() -> None:
        admission = AdmissionControl(max_requests=10, max_bytes=10)
        with ExitStack() as stack:
            for priority, places in ((Priority.LOW, 4), (Priority.NORMAL, 3), (Priority.HIGH, 3)):
                assert fill(admission, ONE, stack, priority) == places

    on_a_loop(test)


def test_fewer_requests_are_admitted_to_an_expensive_model_than_to_a_cheap_one() -> None:
    async def test() -> None:
        clock = Clock()
        admission = AdmissionControl(10_000, 10**9, max_queue_seconds=1.0, clock=clock)
        for _ in range(50):
            answer(admission, clock, 0.1, ONE)
            answer(admission, clock, 0.005, OTHER)
        with ExitStack() as stack:
            assert 4 <= fill(admission, ONE, stack) <= 8
        with ExitStack() as stack:
            assert fill(admission, OTHER, stack) > 60

    on_a_loop(test)


def test_models_in_great_demand_leave_room_for_another() -> None:
    async def test() -> None:
        clock = Clock()
        admission = AdmissionControl(10_000, 10**9, max_queue_seconds=1.0, clock=clock)
        for _ in range(50):
            for spec in (ONE, OTHER, THIRD):
                answer(admission, clock, 0.01, spec)
        with ExitStack() as stack:
            fill(admission, ONE, stack)
            fill(admission, OTHER, stack)
            assert fill(admission, THIRD, stack) > 5

    on_a_loop(test)


def test_a_request_that_could_not_be_answered_in_time_is_not_admitted() -> None:
    async def test() -> None:
        clock = Clock()
        admission = AdmissionControl(10_000, 10**9, max_queue_seconds=10.0, clock=clock)
        for _ in range(50):
            answer(admission, clock, 0.1)
        with ExitStack() as stack:
            for _ in range(5):
                stack.enter_context(enter(admission)).begin_work()
            enter(admission, seconds=2.0)
            with pytest.raises(OverloadedError):
                enter(admission, seconds=0.5)

    on_a_loop(test)


def test_a_lone_request_is_admitted_however_long_it_may_take() -> None:
    async def test() -> None:
        clock = Clock()
        admission = AdmissionControl(10, 10**9, max_queue_seconds=0.1, clock=clock)
        for _ in range(3):
            answer(admission, clock, 60.0)
        with enter(admission, seconds=0.01):
            pass

    on_a_loop(test)


def test_as_many_requests_as_workers_are_always_admitted() -> None:
    async def test() -> None:
        clock = Clock()
        admission = AdmissionControl(10, 10**9, max_queue_seconds=0.1, workers=3, clock=clock)
        for _ in range(3):
            answer(admission, clock, 60.0)
        with ExitStack() as stack:
            assert fill(admission, ONE, stack) == 3

    on_a_loop(test)


def test_the_more_requests_are_refused_the_longer_retry_after_becomes() -> None:
    async def test() -> None:
        clock = Clock()
        admission = AdmissionControl(10_000, 10**9, max_queue_seconds=1.0, clock=clock)
        for _ in range(100):
            answer(admission, clock, 0.1)
        with ExitStack() as stack:
            fill(admission, ONE, stack)
            waits = []
            for _ in range(500):
                with pytest.raises(OverloadedError) as refused:
                    enter(admission)
                waits.append(refused.value.retry_after_seconds)
            assert 0.5 < waits[0] < 2
            assert waits[50] == pytest.approx(waits[0] + 5, abs=1)
            assert waits[-1] == 30
            clock.now += 10
            with pytest.raises(OverloadedError) as refused:
                enter(admission)
            assert refused.value.retry_after_seconds < 2

    on_a_loop(test)


def test_finished_work_makes_room() -> None:
    async def test() -> None:
        clock = Clock()
        admission = AdmissionControl(10_000, 10**9, max_queue_seconds=1.0, clock=clock)
        for _ in range(50):
            answer(admission, clock, 1.0)
        with enter(admission) as ticket:
            ticket.begin_work()
            assert admission.work_seconds == pytest.approx(1.0, rel=0.1)
            clock.now += 0.75
            ticket.record_seconds(0.75)
            assert admission.work_seconds == pytest.approx(0.25, rel=0.4)
            ticket.record_seconds(5.0)
            assert admission.work_seconds == 0

    on_a_loop(test)


def test_measured_tokens_replace_the_estimate() -> None:
    async def test() -> None:
        admission = AdmissionControl(10, 10**9, clock=Clock())
        with enter(admission) as ticket:
            ticket.begin_work()
            guess = admission.work_seconds
            ticket.expect_inputs(2)
            ticket.record_tokens(10 * 132)
            assert admission.work_seconds == pytest.approx(10.5 * guess)
            ticket.record_tokens(132 // 2)
            assert admission.work_seconds == pytest.approx(10.5 * guess)

    on_a_loop(test)


def test_a_slow_sender_does_not_hold_room_for_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.admission.ticket._ARRIVAL_SECONDS", 0.01)

    async def test() -> None:
        admission = AdmissionControl(10, 10**9)
        with enter(admission) as ticket:
            assert admission.work_seconds > 0
            await asyncio.sleep(0.05)
            assert admission.work_seconds == 0
            ticket.begin_work()
            assert admission.work_seconds > 0
            assert admission.requests == 1

    on_a_loop(test)


def test_an_idle_service_does_not_look_slow() -> None:
    async def test() -> None:
        clock = Clock()
        admission = AdmissionControl(10, 10**9, clock=clock)
        for _ in range(20):
            answer(admission, clock, 0.1)
        before = admission.drain_rate.value
        clock.now += 3600
        answer(admission, clock, 0.1)
        assert admission.drain_rate.value == pytest.approx(before, rel=0.1)

    on_a_loop(test)


def test_requests_that_fail_do_not_make_the_service_look_slow() -> None:
    async def test() -> None:
        clock = Clock()
        admission = AdmissionControl(10, 10**9, workers=2, clock=clock)
        for _ in range(30):
            answer(admission, clock, 0.1)

        def fail() -> None:
            with enter(admission) as ticket:
                ticket.begin_work()
                clock.now += 0.1
                raise InvalidInputError("as it is meant to be")

        for _ in range(1000):
            with pytest.raises(InvalidInputError):
                fail()
        # One at a time, each its own second of work per second.
        assert 0.9 <= admission.drain_rate.value <= 2.1

    on_a_loop(test)


def test_a_request_can_be_estimated_again_as_one_of_another_form() -> None:
    async def test() -> None:
        clock = Clock()
        admission = AdmissionControl(10, 1000, workers=1, clock=clock)
        with admission.admit([ONE], "file+explain", 10, 30) as ticket:
            ticket.begin_work()
            ticket.expect_inputs(1)
            ticket.record_tokens(132)
            clock.now += 5
            ticket.record_seconds(5)
            ticket.learn()
        with enter(admission) as ticket:
            before = admission.work_seconds
            ticket.estimate_again([ONE], "file+explain")
            assert admission.work_seconds > 10 * before
            assert ticket.expected_seconds == pytest.approx(5.0, rel=0.1)
        assert admission.work_seconds == 0.0

    on_a_loop(test)
