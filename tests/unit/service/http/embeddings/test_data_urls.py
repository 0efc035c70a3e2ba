"""Which texts are ``data:`` URLs, and of which type."""

from __future__ import annotations

import pytest

from service.http.embeddings.data_urls import parse_data_url


@pytest.mark.parametrize(
    ("text", "media_type"),
    [
        ("data:image/png;base64,iVBORw0KGgo=", "image/png"),
        ("DATA:Image/PNG;base64,iVBORw0KGgo=", "image/png"),
        ("data:text/plain;charset=utf-8,hello%20you", "text/plain"),
        ('data:audio/ogg;codecs="opus, vorbis";base64,T2dn', "audio/ogg"),
        ("data:;base64,aGVsbG8=", "text/plain"),
        ("data:application/vnd.las;base64,TEFTRg==", "application/vnd.las"),
    ],
)
def test_a_data_url_has_a_type(text: str, media_type: str) -> None:
    url = parse_data_url(text)
    assert url is not None
    assert url.media_type == media_type


@pytest.mark.parametrize(
    "text",
    [
        "data: the new oil, they say",
        "data:, the new oil",
        "data:sets, all of them",
        "data:image/png",
        "Data about data:image/png;base64,AAAA",
        "",
    ],
)
def test_a_text_about_data_is_a_text(text: str) -> None:
    assert parse_data_url(text) is None
