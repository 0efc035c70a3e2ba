from __future__ import annotations

import copy
from typing import Any

import pytest

from omnivec2.errors import ArtifactError
from service.monitoring.payloads.redaction import Redaction

EVENT: dict[str, Any] = {
    "id": "1",
    "data": {
        "key": "alice",
        "inputs": [
            {"value": {"mail": "a@b.example", "a/b": 1}},
            {"value": "card 4111111111111111"},
        ],
        "answer": [{"label": "a@b.example", "score": 4111111111111111, "ok": True, "no": None}],
    },
}


def redacted(*rules: str) -> Any:
    event = Redaction(rules)(copy.deepcopy(EVENT))
    assert event is not None
    return event["data"]


def test_a_pointer_removes_what_it_leads_to_and_nothing_else() -> None:
    data = redacted("/inputs/0/value/mail", "/inputs/0/value/a~1b", "/inputs/7/value", "/no/where")
    assert data["inputs"][0] == {"value": {"mail": "[redacted]", "a/b": "[redacted]"}}
    assert data["inputs"][1] == EVENT["data"]["inputs"][1]
    assert redacted("/key/more") == EVENT["data"]


def test_a_star_is_any_member_and_any_index() -> None:
    data = redacted("/inputs/*/value", "/answer/*/*")
    assert [one["value"] for one in data["inputs"]] == ["[redacted]"] * 2
    assert set(data["answer"][0].values()) == {"[redacted]"}


def test_a_pattern_is_replaced_in_every_string_and_number() -> None:
    data = redacted(r"[0-9]{16}", r"\S+@\S+")
    assert data["inputs"][1]["value"] == "card [redacted]"
    assert data["inputs"][0]["value"]["mail"] == "[redacted]"
    assert data["answer"][0] == {
        "label": "[redacted]",
        "score": "[redacted]",
        "ok": True,
        "no": None,
    }


@pytest.mark.parametrize(
    ("rules", "hook", "reason"),
    [
        (("[",), "", "regular expression"),
        (("/a~b",), "", "JSON pointer"),
        ((), "nowhere", "module:function"),
        ((), "no_such_module_at_all:redact", "ModuleNotFoundError"),
        ((), "json:nothing", "AttributeError"),
        ((), "json:__doc__", "not a function"),
    ],
)
def test_what_cannot_be_used_is_refused_at_the_start(
    rules: tuple[str, ...], hook: str, reason: str
) -> None:
    with pytest.raises(ArtifactError, match=reason):
        Redaction(rules, hook)


def test_own_code_has_the_last_word(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("string.capwords", lambda event: {**event, "seen": True}, raising=True)
    assert Redaction((), "string:capwords")(copy.deepcopy(EVENT)) == {**EVENT, "seen": True}
