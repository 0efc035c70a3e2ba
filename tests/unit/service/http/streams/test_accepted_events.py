from __future__ import annotations

import pytest

from service.http.streams.accepted_events import accepts_events


@pytest.mark.parametrize(
    ("accept", "wanted"),
    [
        (None, False),
        ("", False),
        ("*/*", False),
        ("text/*", False),
        ("application/json", False),
        ("text/event-stream", True),
        ("Text/Event-Stream", True),
        ("application/json, text/event-stream", True),
        ("application/json;q=0.5, text/event-stream;q=0.9", True),
        ("application/json, text/event-stream;q=0.5", False),
        ("text/event-stream;q=0", False),
        ("text/event-stream;q=much", False),
        ("text/event-streams", False),
    ],
)
def test_events_are_sent_to_those_who_name_them_and_prefer_nothing_else(
    accept: str | None, wanted: bool
) -> None:
    assert accepts_events(accept) is wanted
