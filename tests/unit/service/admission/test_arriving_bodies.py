"""Senders who take their time, beside others."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import ExitStack

import pytest
from starlette.requests import Request

from omnivec2.errors import OverloadedError
from service.admission.admission_control import AdmissionControl
from service.admission.arriving_bodies import ArrivingBodies, ArrivingBody
from service.admission.ticket import Ticket
from service.http.body import Body
from tests.support.service_parts.service_fakes import letters_spec


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def on_a_loop(test: Callable[[], Awaitable[None]]) -> None:
    async def main() -> None:
        await test()

    asyncio.run(main())


def admission_of(clock: Clock, max_requests: int = 2, max_bytes: int = 100) -> AdmissionControl:
    return AdmissionControl(max_requests, max_bytes, clock=clock)


def enter(admission: AdmissionControl, stack: ExitStack) -> Ticket:
    return stack.enter_context(admission.admit([letters_spec()], "file", 10, 30))


def test_where_places_are_short_bodies_that_have_not_arrived_give_theirs_back() -> None:
    async def test() -> None:
        clock = Clock()
        admission = admission_of(clock)
        with ExitStack() as stack:
            slow = [enter(admission, stack) for _ in range(2)]
            with pytest.raises(OverloadedError):
                enter(admission, stack)
            clock.now += 0.2
            fast = enter(admission, stack)
            assert (admission.requests, admission.arriving.apart) == (1, 2)
            fast.begin_work()
            slow[0].begin_work()
            assert (admission.requests, admission.arriving.apart) == (2, 1)
        assert (admission.requests, admission.arriving.apart, admission.bytes) == (0, 0, 0)
        assert admission.work_seconds == 0

    on_a_loop(test)


def test_requests_that_are_worked_on_keep_their_places() -> None:
    async def test() -> None:
        clock = Clock()
        admission = admission_of(clock)
        with ExitStack() as stack:
            for _ in range(2):
                enter(admission, stack).begin_work()
            clock.now += 5
            with pytest.raises(OverloadedError):
                enter(admission, stack)

    on_a_loop(test)


def test_a_body_that_takes_its_time_gives_its_place_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.admission.ticket._ARRIVAL_SECONDS", 0.01)

    async def test() -> None:
        admission = admission_of(Clock())
        with ExitStack() as stack:
            enter(admission, stack)
            await asyncio.sleep(0.05)
            assert (admission.requests, admission.arriving.apart) == (0, 1)

    on_a_loop(test)


def test_of_too_many_slow_senders_the_slowest_is_given_up() -> None:
    async def test() -> None:
        clock = Clock()
        admission = admission_of(clock)
        with ExitStack() as stack:
            tickets = [enter(admission, stack) for _ in range(2)]
            tickets[0].hold_bytes(1)
            tickets[1].hold_bytes(50)
            clock.now += 0.2
            tickets.append(enter(admission, stack))
            tickets[2].hold_bytes(20)
            clock.now += 0.2
            tickets[2].set_apart()
            assert [ticket.arrival.is_given_up for ticket in tickets] == [True, False, False]
            assert admission.bytes == 70
        assert (admission.requests, admission.bytes) == (0, 0)

    on_a_loop(test)


def test_bodies_that_have_stalled_do_not_hold_the_bytes_of_others() -> None:
    async def test() -> None:
        clock = Clock()
        admission = admission_of(clock, max_requests=3, max_bytes=20_000)
        with ExitStack() as stack:
            stalled, slow, other = [enter(admission, stack) for _ in range(3)]
            stalled.hold_bytes(9_000)
            stalled.set_apart()
            clock.now += 10
            slow.hold_bytes(9_000)
            slow.set_apart()
            other.hold_bytes(9_000)
            assert stalled.arrival.is_given_up
            assert not slow.arrival.is_given_up
            with pytest.raises(OverloadedError, match="bytes already"):
                other.hold_bytes(9_000)
        assert admission.bytes == 0

    on_a_loop(test)


@pytest.mark.parametrize("piecewise", [False, True])
def test_the_request_of_a_body_that_is_given_up_is_refused_as_overload(piecewise: bool) -> None:
    async def receive() -> dict[str, object]:
        await asyncio.sleep(60)
        return {}

    async def test() -> None:
        admission = admission_of(Clock())
        with ExitStack() as stack:
            ticket = enter(admission, stack)
            body = Body(Request({"type": "http", "headers": []}, receive), ticket, 30)
            call = anext(body.chunks(10)) if piecewise else body.read(10)
            reading = asyncio.ensure_future(call)
            await asyncio.sleep(0.01)
            ticket.give_up()
            with pytest.raises(OverloadedError, match="too slowly"):
                await reading

    on_a_loop(test)


def test_the_rate_of_a_body_is_that_of_late() -> None:
    body = ArrivingBody(0.0)
    body.record_bytes(1000, 0.0)
    assert body.rate(0.0) == 1000
    assert body.rate(10.0) < 1
    body.record_bytes(10, 10.0)
    assert 10 <= body.rate(10.0) < 11


def test_a_body_that_has_arrived_is_no_longer_known() -> None:
    bodies = ArrivingBodies(1)
    body = ArrivingBody(0.0)
    bodies.add(body)
    assert list(bodies.overdue(1.0)) == [body]
    assert bodies.set_apart(body, 1.0) is None
    bodies.remove(body)
    bodies.remove(body)
    assert (bodies.apart, list(bodies.overdue(9.0)), list(bodies.stalled(9.0))) == (0, [], [])
