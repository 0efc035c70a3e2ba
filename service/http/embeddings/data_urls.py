"""``data:`` URLs (RFC 2397): files inside of JSON strings, with their content type."""

from __future__ import annotations

import re
from dataclasses import dataclass

from service.http.forms.content_type import PLAIN

# A text may begin with "data:" too: only a content type, a parameter or base64 makes it a URL.
_TOKEN = r"[\w.+-]+"
_HEAD = re.compile(
    rf"data:(?=[^,\s])(?P<type>{_TOKEN}/{_TOKEN})?(?:;{_TOKEN}=(?:{_TOKEN}|\"[^\"]*\"))*(?:;base64)?,",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class DataUrl:
    """A ``data:`` URL.

    Attributes:
        media_type: The content type in lower case; ``text/plain`` if the URL names none.
        text: The whole URL, not decoded.
    """

    media_type: str
    text: str


def parse_data_url(text: str) -> DataUrl | None:
    """Return the ``data:`` URL that a text is; None if it is none."""
    if text[:5].lower() != "data:":
        return None
    found = _HEAD.match(text)
    return None if found is None else DataUrl((found["type"] or PLAIN).lower(), text)
