"""Addresses of a store: their forms, and what may be shown of them."""

from __future__ import annotations

import pytest

from omnivec2.errors import ArtifactError
from service.shared_state.store_address import client_url, shown_address


@pytest.mark.parametrize(
    ("given", "taken", "shown"),
    [
        ("redis://host", "redis://host", "host:6379"),
        ("valkey://host:1/2", "redis://host:1/2", "host:1/2"),
        ("rediss://me:secret@host:1/0", "rediss://me:secret@host:1/0", "host:1/0"),
        ("valkeys://:secret@[::1]:7", "rediss://:secret@[::1]:7", "[::1]:7"),
        ("redis://host/?password=secret", "redis://host/?password=secret", "host:6379"),
        ("unix:///run/store.sock?db=1", "unix:///run/store.sock?db=1", "/run/store.sock"),
    ],
)
def test_an_address_is_taken_and_shown_without_passwords(
    given: str, taken: str, shown: str
) -> None:
    assert client_url(given) == taken
    assert shown_address(taken) == shown


@pytest.mark.parametrize(
    "url",
    [
        *("", "host:6379", "http://:secret@host", "redis://", "redis://:secret@host:port"),
        *("unix://", "redis://:secret@host/one", "redis://[secret", "redis://:secret@host:99999"),
    ],
)
def test_what_is_no_address_is_refused_without_showing_it(url: str) -> None:
    with pytest.raises(ArtifactError, match="expected") as caught:
        client_url(url)
    assert "secret" not in str(caught.value)
