"""Redaction of events before they are written: by patterns, by JSON pointers, by own code."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

from omnivec2.errors import ArtifactError
from service.monitoring.payloads.cloud_events import Event

REDACTED = "[redacted]"

Hook = Callable[[Event], Event | None]
"""A function of one's own: it gets an event and returns it, changed or not; None drops it."""

_ANY = "*"


class Redaction:
    """What is removed from the data of events.

    Args:
        rules: The JSON pointers into ``data`` (RFC 6901; ``*`` is any member or index), which begin
            with a slash, and regular expressions, whose matches are replaced in every string and
            number.
        hook: The ``module:function`` of one's own code, called after the rules; empty for none.

    Raises:
        ArtifactError: A rule is not valid, or the function cannot be loaded.
    """

    def __init__(self, rules: Sequence[str], hook: str = "") -> None:
        self._pointers = [_parse_pointer(rule) for rule in rules if rule.startswith("/")]
        self._patterns = [_compile(rule) for rule in rules if not rule.startswith("/")]
        self._hook = _load(hook) if hook else None

    def __call__(self, event: Event) -> Event | None:
        """Return the event as it may be written; None if it may not be.

        Raises:
            Exception: Whatever the function of one's own raises; the event must not be written.
        """
        data = event["data"]
        for pointer in self._pointers:
            _redact_at(data, pointer)
        if self._patterns:
            event["data"] = self._searched(data)
        return event if self._hook is None else self._hook(event)

    def _searched(self, node: Any) -> Any:
        """Return a value in which the matches of all patterns are replaced."""
        if isinstance(node, dict):
            return {self._replaced(name): self._searched(value) for name, value in node.items()}
        if isinstance(node, list):
            return [self._searched(value) for value in node]
        if isinstance(node, str):
            return self._replaced(node)
        if isinstance(node, int | float) and not isinstance(node, bool):
            return REDACTED if any(p.search(str(node)) for p in self._patterns) else node
        return node

    def _replaced(self, text: str) -> str:
        for pattern in self._patterns:
            text = pattern.sub(REDACTED, text)
        return text


def _redact_at(node: Any, pointer: Sequence[str]) -> None:
    """Replace the values that a pointer leads to; it may lead to none."""
    name, *rest = pointer
    if isinstance(node, dict):
        places: list[Any] = list(node) if name == _ANY else [name] if name in node else []
    elif isinstance(node, list):
        indices = range(len(node))
        places = [index for index in indices if name in (_ANY, str(index))]
    else:
        return
    for place in places:
        if rest:
            _redact_at(node[place], rest)
        else:
            node[place] = REDACTED


def _parse_pointer(rule: str) -> list[str]:
    parts = rule.split("/")[1:]
    if any(re.search("~(?![01])", part) for part in parts):
        raise ArtifactError(
            f"OMNIVEC2_PAYLOAD_LOG_REDACT: {rule!r} is no JSON pointer: a ~ is written ~0, and a / "
            "within a name ~1"
        )
    return [part.replace("~1", "/").replace("~0", "~") for part in parts]


def _compile(rule: str) -> re.Pattern[str]:
    try:
        return re.compile(rule)
    except re.error as error:
        raise ArtifactError(
            f"OMNIVEC2_PAYLOAD_LOG_REDACT: {rule!r} is no regular expression ({error}); a JSON "
            "pointer begins with a slash"
        ) from error


def _load(reference: str) -> Hook:
    """Return the function that ``module:function`` names."""
    module, _, name = reference.partition(":")
    wanted = f"OMNIVEC2_PAYLOAD_LOG_HOOK: expected module:function, got {reference!r}"
    if not module or not name:
        raise ArtifactError(wanted)
    try:
        found = import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
    except Exception as error:
        # Whatever the module does when it is imported: the service must not start without it.
        raise ArtifactError(f"{wanted}: {type(error).__name__}: {error}") from error
    if not callable(found):
        raise ArtifactError(f"{wanted}, which is not a function")
    hook: Hook = found
    return hook
