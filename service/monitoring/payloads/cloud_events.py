"""CloudEvents 1.0 in JSON, structured mode: what the payload log writes.

https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/json-format.md
"""

from __future__ import annotations

import os
import socket
from base64 import b64encode
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from hashlib import sha256
from typing import Any

from pydantic_core import to_json

from service.pipeline.host_stages import FileInput, RawInput

Event = dict[str, Any]
"""A CloudEvent as a JSON object."""

PREDICTION = "omnivec2.prediction.v1"
FEEDBACK = "omnivec2.feedback.v1"

EVENT_TYPE = "application/cloudevents+json"
BATCH_TYPE = "application/cloudevents-batch+json"


def cloud_event(
    kind: str, subject: str, data: Mapping[str, Any], seconds_ago: float = 0.0
) -> Event:
    """Return an event.

    Args:
        kind: The type, ``PREDICTION`` or ``FEEDBACK``.
        subject: The subject: the heads, as in ``image/classification``.
        data: The data.
        seconds_ago: The time since what the event tells of.
    """
    moment = datetime.now(UTC) - timedelta(seconds=seconds_ago)
    return {
        "specversion": "1.0",
        "id": os.urandom(16).hex(),
        "source": _source(),
        "type": kind,
        "subject": subject,
        "time": moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "datacontenttype": "application/json",
        "data": dict(data),
    }


def logged_inputs(inputs: Sequence[RawInput], most_bytes: int) -> list[dict[str, Any]]:
    """Return inputs as an event shows them.

    Args:
        inputs: The inputs of a request.
        most_bytes: The most bytes of all inputs together. One that does not fit any more is not
            cut, because half a file is of no use: its size and digest stand for it.
    """
    shown: list[dict[str, Any]] = []
    left = most_bytes
    for one in inputs:
        data = one.data if isinstance(one, FileInput) else to_json(one.value)
        entry: dict[str, Any] = {"bytes": len(data), "sha256": sha256(data).hexdigest()}
        if isinstance(one, FileInput) and one.media_type is not None:
            entry["media_type"] = one.media_type
        if len(data) > left:
            entry["omitted"] = True
        elif isinstance(one, FileInput):
            entry["base64"] = b64encode(data).decode()
        else:
            entry["value"] = one.value
        left -= 0 if "omitted" in entry else len(data)
        shown.append(entry)
    return shown


@cache
def _source() -> str:
    """Return the source of this gateway's events, a URI reference."""
    return f"//{socket.gethostname()}/omnivec2"
