from __future__ import annotations

import asyncio
import time
from dataclasses import replace

import pytest

from service.request_context import (
    REQUEST,
    RequestContext,
    in_request,
    request_id_of,
    started,
    trace_call,
    trace_stage,
)
from tests.support.service_parts.service_fakes import RecordingMeter

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def test_outside_of_a_request_there_is_all_the_time_and_nothing_is_measured() -> None:
    context = REQUEST.get()
    assert (context.request_id, context.key, context.spans) == ("", None, None)
    assert context.seconds_left == float("inf")
    context.work.expect_inputs(1)
    context.work.record_tokens(10)
    context.work.record_seconds(1.0)


def test_a_request_is_the_current_one_until_its_block_ends() -> None:
    outside = REQUEST.get()
    with in_request(RequestContext("r-1")) as context:
        assert REQUEST.get() is context
    assert REQUEST.get() is outside


def test_what_is_known_at_the_first_line_is_kept_when_the_work_begins() -> None:
    meter = RecordingMeter()
    with in_request(RequestContext("r-1")):
        context = started(TRACE, 2.0, meter)
    assert (context.request_id, context.traceparent, context.work) == ("r-1", TRACE, meter)
    assert 1.5 < context.seconds_left <= 2.0
    assert 1.5 < context.deadline - time.monotonic() <= 2.0


def test_tasks_and_threads_inherit_the_request_and_later_changes_are_not_theirs() -> None:
    async def request_id() -> tuple[str, str]:
        await asyncio.sleep(0.01)
        thread = await asyncio.to_thread(lambda: REQUEST.get().request_id)
        return REQUEST.get().request_id, thread

    async def main() -> tuple[str, str]:
        with in_request(RequestContext("r-1")):
            task = asyncio.create_task(request_id())
        with in_request(RequestContext("r-2")):
            return await task

    assert asyncio.run(main()) == ("r-1", "r-1")


def test_no_time_is_left_after_the_deadline() -> None:
    assert RequestContext(deadline=time.monotonic() - 1).seconds_left == 0


@pytest.mark.parametrize(
    "header", ["", "00-0-0-00", TRACE.replace("b7ad6b7169203331", "0" * 16), TRACE + "\n"]
)
def test_what_is_no_trace_context_is_not_passed_on(header: str) -> None:
    with in_request(started(header, 1.0, RecordingMeter())), trace_call("m", "here:1") as headers:
        assert headers == {}


def test_without_traces_the_callers_own_trace_context_is_passed_on() -> None:
    with in_request(started(TRACE, 1.0, RecordingMeter())), trace_call("m", "here:1") as headers:
        assert headers == {"traceparent": TRACE}
    with trace_stage("compute", "m") as nothing:
        assert nothing is None


def test_ids_that_are_safe_to_log_are_kept_and_others_are_replaced() -> None:
    assert request_id_of("2026/11/22:7") == "2026/11/22:7"
    for given in ("", "a b", "x" * 200, "<script>"):
        assert len(request_id_of(given)) == 32


def test_a_context_cannot_be_changed_in_place() -> None:
    context = RequestContext("r-1")
    with pytest.raises(AttributeError):
        context.request_id = "r-2"  # type: ignore[misc]
    assert replace(context, request_id="r-2").request_id == "r-2"
