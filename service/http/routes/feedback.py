"""``POST /feedback/{request_id}``: the true label of an answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter
from pydantic import JsonValue
from starlette.requests import Request

from omnivec2.errors import InvalidInputError, SwitchedOffError, TooLargeError, UnknownModelError
from omnivec2.spec import HeadSpec
from service.gateway import Gateway
from service.http.forms.json_bodies import parse_json

router = APIRouter(tags=["predictions"])

_MOST_BYTES = 2**18
_MOST_VALUES = 20_000
_FIELDS = ("label", "labels", "task")

_BODY = {
    "required": True,
    "content": {
        "application/json": {
            "schema": {
                "type": "object",
                "additionalProperties": False,
                "properties": {
                    "label": {
                        "description": "name or index of the true class, a list of them for a head "
                        "that gives any number of labels, the true number, or target -> number"
                    },
                    "labels": {
                        "type": "array",
                        "items": {},
                        "description": "instead: one label for each sample of the answer",
                    },
                    "task": {
                        "type": "string",
                        "description": "task that the label is of, if several answered",
                    },
                },
            },
            "example": {"label": 0},
        }
    },
}


@router.post(
    "/feedback/{request_id:path}",  # an id may have slashes, as in 2026/11/22:7
    summary="The true label of an answer",
    response_model=None,
    openapi_extra={"requestBody": _BODY},
)
async def give_feedback(request: Request, request_id: str) -> dict[str, Any]:
    """Compare the answer to an earlier request of the same key with its true label, once.

    `request_id` is the `X-Request-ID` of the answer. The comparison counts in
    `omnivec2_feedback_total`.
    """
    gateway: Gateway = request.app.state.gateway
    if gateway.monitor is None or not gateway.monitor.takes_feedback:
        raise SwitchedOffError(
            "feedback is off: set OMNIVEC2_FEEDBACK_ANSWERS to the number of answers to remember"
        )
    given = _checked(parse_json(await _read(request), _MOST_VALUES))
    heads = gateway.dataplane.heads

    def spec_of(route: str) -> HeadSpec:
        if (head := heads.get(route)) is None:
            raise UnknownModelError(f"{route} is no longer served", known=sorted(heads))
        return head.spec

    feedback = await gateway.monitor.take_feedback(request_id, given, spec_of)
    return feedback.to_json()


async def _read(request: Request) -> bytes:
    """Return the body.

    Raises:
        TooLargeError: It is longer than feedback can be.
    """
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > _MOST_BYTES:
            raise TooLargeError(f"feedback of at most {_MOST_BYTES:,} bytes is taken", field="body")
    return bytes(body)


def _checked(body: JsonValue) -> Mapping[str, JsonValue]:
    """Return the fields of a body.

    Raises:
        InvalidInputError: It is no object, or lacks a label, or has other fields.
    """
    wanted = 'expected {"label": ...}, or {"labels": [...]} for an answer to several samples'
    if not isinstance(body, dict) or ("label" in body) == ("labels" in body):
        raise InvalidInputError(wanted, field="body", known=_FIELDS)
    if unknown := sorted(body.keys() - set(_FIELDS)):
        raise InvalidInputError(
            f"unknown field {unknown[0]!r}: {wanted}", field=unknown[0], known=_FIELDS
        )
    return body
