from __future__ import annotations

import asyncio

from service.http.streams.event_stream import KEEP_ALIVE, EventStream
from service.request_context import PartAnswer
from tests.support.requests.event_streams import parse_events


def part(index: int) -> PartAnswer:
    return PartAnswer("window", "events", 0, index, 3, [{"label": "rain\n", "score": 0.5}])


def test_events_have_names_and_rising_ids_and_come_in_order() -> None:
    names: list[str] = []

    async def run() -> bytes:
        stream = EventStream(names.append)
        await stream.put(part(0))
        await stream.put(PartAnswer("token", "summarization", 1, 4, None, {"summary_text": "a"}))
        stream.add("answer", b"{}")
        stream.close()
        found = b""
        while event := await stream.next_event(1):
            found += event
        return found

    first, second, last = parse_events(asyncio.run(run()))
    assert (first.name, first.id, first.data["index"], first.data["count"]) == ("window", 1, 0, 3)
    assert first.data["answer"] == [{"label": "rain\n", "score": 0.5}]
    assert second.data == {
        "task": "summarization",
        "input": 1,
        "index": 4,
        "answer": {"summary_text": "a"},
    }
    assert (last.name, last.id, last.data) == ("answer", 3, {})
    assert names == ["window", "token", "answer"]


def test_a_part_that_was_given_is_not_given_again() -> None:
    async def run() -> bytes:
        stream = EventStream(lambda _: None)
        for index in (0, 1, 0, 1, 2):  # the request begins once more behind the second
            await stream.put(part(index))
        await stream.put(PartAnswer("window", "events", 1, 0, 1, []))
        await stream.put(PartAnswer("window", "other", 0, 0, 1, []))
        stream.close()
        return b"".join([await stream.next_event(1) for _ in range(5)])

    events = parse_events(asyncio.run(run()))
    assert [(e.data["task"], e.data["input"], e.data["index"]) for e in events] == [
        *(("events", 0, index) for index in range(3)),
        ("events", 1, 0),
        ("other", 0, 0),
    ]


def test_a_full_buffer_holds_up_those_who_fill_it_until_the_client_reads() -> None:
    async def run() -> None:
        stream = EventStream(lambda _: None, most_events=2)
        fillers = [asyncio.create_task(stream.put(part(index))) for index in range(5)]
        await asyncio.sleep(0.01)
        assert sum(filler.done() for filler in fillers) == 2
        found = [await stream.next_event(5) for _ in range(5)]
        assert [parse_events(event)[0].data["index"] for event in found] == [0, 1, 2, 3, 4]
        assert all(filler.done() for filler in fillers)

    asyncio.run(run())


def test_a_client_that_waits_for_an_event_gets_a_comment() -> None:
    async def run() -> None:
        stream = EventStream(lambda _: None)
        assert await stream.next_event(0.001) == KEEP_ALIVE
        stream.close()
        assert stream.is_finished
        assert await stream.next_event(60) == b""

    asyncio.run(run())
