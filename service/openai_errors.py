"""Failures in OpenAI's form, for the routes whose clients expect it.

https://platform.openai.com/docs/guides/error-codes
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

from pydantic import BaseModel, Field, JsonValue

_PREFIX = "/v1/"

_KINDS: Mapping[int, tuple[str, str | None]] = {
    HTTPStatus.BAD_REQUEST: ("invalid_request_error", None),
    HTTPStatus.UNAUTHORIZED: ("invalid_request_error", "invalid_api_key"),
    HTTPStatus.FORBIDDEN: ("invalid_request_error", "insufficient_permissions"),
    HTTPStatus.NOT_FOUND: ("invalid_request_error", "model_not_found"),
    HTTPStatus.TOO_MANY_REQUESTS: ("rate_limit_error", "rate_limit_exceeded"),
}


class OpenAiFailure(BaseModel):
    """The content of a failure."""

    message: str = Field(description="what is wrong and what was expected")
    type: str
    param: str | None = Field(description="field of the request that is wrong")
    code: str | None
    known: list[str] | None = Field(default=None, description="what would have been accepted")


class OpenAiError(BaseModel):
    """A failure in OpenAI's form."""

    error: OpenAiFailure


def has_openai_form(path: str) -> bool:
    """Whether failures of a path are answered in OpenAI's form."""
    return path.startswith(_PREFIX)


def openai_status(status: int) -> int:
    """Return OpenAI's status of a failure: what is wrong with a request is always 400."""
    if status == HTTPStatus.UNPROCESSABLE_ENTITY:
        return HTTPStatus.BAD_REQUEST
    return status


def openai_error(status: int, message: str, extra: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    """Return the body of a failure.

    Args:
        status: The status that OpenAI would answer.
        message: The reason, in words for the caller.
        extra: The members of a problem document beside the standard ones.
    """
    other = "server_error" if status >= HTTPStatus.INTERNAL_SERVER_ERROR else _KINDS[400][0]
    kind, code = _KINDS.get(status, (other, None))
    param = extra.get("field")
    if isinstance(param, str):
        param = param.removeprefix("parameters.")
        if param.startswith("inputs"):
            param = f"input{param.removeprefix('inputs')}"
    error: dict[str, JsonValue] = {"message": message, "type": kind, "param": param, "code": code}
    error |= {name: extra[name] for name in ("known", "notes") if name in extra}
    return {"error": error}
