"""Reading a streamed answer, for clients of this project."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator

from pydantic import JsonValue


def read_events(lines: Iterable[bytes]) -> Iterator[tuple[str, dict[str, JsonValue]]]:
    """Yield the name and the data of each event as soon as it is whole; comments are skipped.

    Args:
        lines: The lines of the response's body, with their ends.

    Raises:
        ValueError: The data of an event is no JSON object.
    """
    name, data = "", b""
    for line in lines:
        field, _, value = line.rstrip(b"\r\n").partition(b":")
        if field == b"event":
            name = value.strip().decode()
        elif field == b"data":
            data += value.strip()
        elif not line.strip() and data:
            content = json.loads(data)
            if not isinstance(content, dict):
                raise ValueError(f"the event {name!r} is no object")
            yield name, content
            name, data = "", b""
