from __future__ import annotations

import pytest

from omnivec2.errors import InvalidParameterError
from service.access.api_keys import Key
from service.access.strictness import is_strict, parse_strict


@pytest.mark.parametrize(
    ("value", "strict"),
    [(None, False), ("true", True), ("True", True), ("?1", True), ("1", True), ("false", False)],
)
def test_strictness_is_read(value: str | None, strict: bool) -> None:
    assert parse_strict(value) is strict


@pytest.mark.parametrize("value", ["", "yes please", "2"])
def test_another_strictness_is_refused(value: str) -> None:
    with pytest.raises(InvalidParameterError, match="X-Strict"):
        parse_strict(value)


def test_header_key_and_setting_are_each_enough() -> None:
    strict, lenient = (Key(name="a", sha256="0" * 64, strict=strict) for strict in (True, False))
    assert not is_strict(None, None, by_default=False)
    assert not is_strict("false", lenient, by_default=False)
    assert is_strict("true", lenient, by_default=False)
    assert is_strict("false", strict, by_default=False)
    assert is_strict("false", None, by_default=True)
