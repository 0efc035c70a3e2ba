from __future__ import annotations

import pytest

from omnivec2.errors import InvalidParameterError
from service.access.priority import Priority, PriorityName, granted_priority


@pytest.mark.parametrize(
    ("asked", "highest", "granted"),
    [
        (None, None, Priority.NORMAL),
        ("high", None, Priority.HIGH),
        (" LOW ", None, Priority.LOW),
        ("high", "normal", Priority.NORMAL),
        ("low", "high", Priority.LOW),
        (None, "low", Priority.LOW),
        (None, "high", Priority.NORMAL),
    ],
)
def test_a_request_gets_the_class_it_asks_for_but_none_above_its_keys(
    asked: str | None, highest: PriorityName | None, granted: Priority
) -> None:
    assert granted_priority(asked, highest) is granted


@pytest.mark.parametrize("asked", ["", "urgent", "1", "highest"])
def test_an_unknown_class_is_refused_with_the_known_ones(asked: str) -> None:
    with pytest.raises(InvalidParameterError, match="high, normal or low"):
        granted_priority(asked, None)
