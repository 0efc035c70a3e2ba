"""What a request says about caches (RFC 9111), and what an answer says of this one (RFC 9211)."""

from __future__ import annotations

import math
from dataclasses import dataclass

_NAME = "omnivec2"


@dataclass(frozen=True)
class CacheControl:
    """The directives of ``Cache-Control`` that apply to the service's own cache.

    Attributes:
        no_cache: Whether the answer must be computed now.
        no_store: Whether the answer must not be kept, nor taken from the cache.
        max_age: The longest time since the answer was computed, in seconds.
    """

    no_cache: bool = False
    no_store: bool = False
    max_age: float = math.inf


_ANY = CacheControl()


def parse_cache_control(header: str | None) -> CacheControl:
    """Return the directives of a request; those that are unknown are ignored, as RFC 9111 says.

    A ``max-age`` that is no number counts as 0: then the caller gets what is computed now.
    """
    if not header:
        return _ANY
    directives = {}
    for item in header.lower().split(","):
        name, _, value = item.partition("=")
        directives[name.strip()] = value.strip().strip('"')
    max_age = math.inf
    if (text := directives.get("max-age")) is not None:
        max_age = float(text) if text.isascii() and text.isdigit() else 0.0
    return CacheControl(
        no_cache="no-cache" in directives or max_age == 0.0,
        no_store="no-store" in directives,
        max_age=max_age,
    )


def cache_status(control: CacheControl, hits: int, lookups: int, *, stored: bool) -> str:
    """Return the value of ``Cache-Status``.

    Args:
        control: The directives of the request.
        hits: The number of its inputs whose answers were known.
        lookups: The number of its inputs that were looked up.
        stored: Whether what was computed is kept now.
    """
    kept = "; stored" if stored else ""
    if control.no_store:
        return f"{_NAME}; fwd=bypass"
    if control.no_cache:
        return f"{_NAME}; fwd=request{kept}"
    if lookups and hits == lookups:
        return f"{_NAME}; hit"
    if hits:
        return f'{_NAME}; fwd=partial{kept}; detail="{hits} of {lookups} inputs"'
    return f"{_NAME}; fwd=miss{kept}"
