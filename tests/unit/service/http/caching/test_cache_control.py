from __future__ import annotations

import math

import pytest

from service.http.caching.cache_control import CacheControl, cache_status, parse_cache_control


@pytest.mark.parametrize(
    ("header", "wanted"),
    [
        (None, CacheControl()),
        ("", CacheControl()),
        ("no-cache", CacheControl(no_cache=True)),
        ("No-Store", CacheControl(no_store=True)),
        ("max-age=60", CacheControl(max_age=60)),
        ('max-age="60", no-transform', CacheControl(max_age=60)),
        ("max-age=0", CacheControl(no_cache=True, max_age=0)),
        ("max-age=soon", CacheControl(no_cache=True, max_age=0)),
        ("no-cache, no-store", CacheControl(no_cache=True, no_store=True)),
        ("only-if-cached, stale=7", CacheControl()),
    ],
)
def test_directives_of_requests_are_read(header: str | None, wanted: CacheControl) -> None:
    assert parse_cache_control(header) == wanted
    assert math.isinf(parse_cache_control(None).max_age)


@pytest.mark.parametrize(
    ("control", "hits", "lookups", "stored", "wanted"),
    [
        (CacheControl(), 1, 1, False, "omnivec2; hit"),
        (CacheControl(), 0, 1, True, "omnivec2; fwd=miss; stored"),
        (CacheControl(), 0, 1, False, "omnivec2; fwd=miss"),
        (CacheControl(), 2, 3, True, 'omnivec2; fwd=partial; stored; detail="2 of 3 inputs"'),
        (CacheControl(no_cache=True), 0, 1, True, "omnivec2; fwd=request; stored"),
        (CacheControl(no_store=True), 0, 1, False, "omnivec2; fwd=bypass"),
    ],
)
def test_the_status_is_that_of_rfc_9211(
    control: CacheControl, hits: int, lookups: int, stored: bool, wanted: str
) -> None:
    assert cache_status(control, hits, lookups, stored=stored) == wanted
