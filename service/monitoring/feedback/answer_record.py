"""An answer as it is remembered until its true label may come."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from pydantic import JsonValue
from pydantic_core import from_json, to_json

from omnivec2.spec import HeadSpec


@dataclass(frozen=True)
class AnsweredHead:
    """A head that gave an answer.

    Attributes:
        route: Its name, ``<modality>/<task>``.
        version: The version of its files.
        digest: The beginning of the digest of its checkpoint.
    """

    route: str
    version: str
    digest: str

    @classmethod
    def of(cls, spec: HeadSpec, version: str) -> AnsweredHead:
        """Return the head of a spec and a version."""
        return cls(spec.route, version, spec.checkpoint_digest[:12])


@dataclass(frozen=True)
class AnswerRecord:
    """One request's answer.

    Attributes:
        request_id: The id of the request.
        key: The name of the API key that asked; None where no key is required.
        heads: The heads that answered.
        body: The answer as it was sent, in JSON: that of the head, or task -> that of its head.
        is_by_task: Whether the answers are by task.
    """

    request_id: str
    key: str | None
    heads: tuple[AnsweredHead, ...]
    body: bytes
    is_by_task: bool

    def answer_of(self, head: AnsweredHead) -> JsonValue:
        """Return the answer of one of its heads."""
        body: JsonValue = from_json(self.body)
        if self.is_by_task and isinstance(body, dict):
            return body[head.route.partition("/")[2]]
        return body

    def to_json(self) -> bytes:
        """Return the record in JSON."""
        heads = [[head.route, head.version, head.digest] for head in self.heads]
        fields = [self.request_id, self.key, heads, self.body.decode(), self.is_by_task]
        return to_json(fields)

    @classmethod
    def from_json(cls, text: bytes | str) -> AnswerRecord:
        """Read a record that ``to_json`` wrote."""
        fields: list[Any] = from_json(text)
        request_id, key, heads, body, is_by_task = fields
        answered = tuple(AnsweredHead(*head) for head in heads)
        return cls(request_id, key, answered, body.encode(), is_by_task)


class AnswerMemory(Protocol):
    """A place where answers are remembered. Keys do not see each other's requests."""

    async def find(self, request_id: str, key: str | None) -> AnswerRecord | None:
        """Return the answer to a request of a key; None if it is not remembered."""

    async def claim(self, request_id: str, key: str | None, route: str) -> bool:
        """Take the one feedback that a head's answer may get; False if it has had it."""
