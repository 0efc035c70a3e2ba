"""Check answers against the service's own OpenAPI document: a status alone proves nothing."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import jsonschema_rs
from pydantic_core import from_json

_JSON, _PROBLEM = "application/json", "application/problem+json"
_TIMING = re.compile(r"([a-z_]+);dur=([0-9.]+)")


class WrongAnswerError(Exception):
    """An answer does not conform to the service's document."""


class Answers:
    """Checks answers against an OpenAPI document, whose schemas are compiled once.

    Args:
        document: The service's document, from ``/openapi.json``.
    """

    def __init__(self, document: Mapping[str, Any]) -> None:
        self._schemas: dict[tuple[str, int], Any] = {}
        components = document["components"]
        for path, item in document["paths"].items():
            for status, response in item.get("post", {}).get("responses", {}).items():
                for media_type, content in response.get("content", {}).items():
                    # Requests of load tests ask for no stream of events.
                    is_checked = status.isdigit() and media_type in (_JSON, _PROBLEM)
                    if not is_checked or "schema" not in content:
                        continue
                    schema = {**content["schema"], "components": components}
                    self._schemas[path, int(status)] = jsonschema_rs.validator_for(schema)

    def check(self, path: str, status: int, headers: Mapping[str, str], body: bytes) -> None:
        """Check that status, type, headers and body are as documented.

        Args:
            path: The path as the document spells it.
            status: The answer's status.
            headers: The answer's headers, with lower-case names.
            body: The answer's body.

        Raises:
            WrongAnswerError: They are not; the message says which.
        """
        validator = self._schemas.get((path, status))
        if validator is None:
            raise WrongAnswerError(f"{status} is not documented: {body[:120]!r}")
        expected = _JSON if status == 200 else _PROBLEM
        got = headers.get("content-type", "")
        if got.partition(";")[0] != expected:
            raise WrongAnswerError(f"{status} as {got!r}, not {expected}")
        try:
            validator.validate(from_json(body))
        except (ValueError, jsonschema_rs.ValidationError) as error:
            reason = str(error).partition("\n")[0][:200]
            raise WrongAnswerError(f"{status} of a wrong schema: {reason}") from error
        needed = {200: ("x-request-id", "x-model", "server-timing"), 429: ("retry-after",)}
        if missing := [name for name in needed.get(status, ()) if name not in headers]:
            raise WrongAnswerError(f"{status} without {', '.join(missing)}")


def stages_ms(server_timing: str) -> dict[str, float]:
    """Return the milliseconds of each stage in a ``Server-Timing`` header."""
    return {stage: float(ms) for stage, ms in _TIMING.findall(server_timing)}
