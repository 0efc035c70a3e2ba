"""Whether a request asks for its answer as server-sent events."""

from __future__ import annotations

EVENT_STREAM = "text/event-stream"
"""https://html.spec.whatwg.org/multipage/server-sent-events.html"""


def accepts_events(accept: str | None) -> bool:
    """Whether the header ``Accept`` names event streams and prefers nothing to them.

    Wildcards do not ask for a stream: most clients send one, and expect a single document.

    Args:
        accept: The value of the header; None without one.
    """
    if accept is None or EVENT_STREAM not in accept.lower():
        return False
    qualities = dict(map(_range_and_quality, accept.split(",")))
    wanted = qualities.get(EVENT_STREAM, 0.0)
    return wanted > 0.0 and wanted >= max(qualities.values())


def _range_and_quality(item: str) -> tuple[str, float]:
    """Return the media range of an item of ``Accept``, and its quality (RFC 9110, 12.4.2)."""
    media_range, *parameters = (part.strip().lower() for part in item.split(";"))
    quality = next((p.partition("=")[2] for p in parameters if p.startswith("q=")), "1")
    try:
        return media_range, float(quality)
    except ValueError:
        return media_range, 0.0
