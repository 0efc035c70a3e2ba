"""What makes two requests the same: a digest of all that an answer depends on, but its models."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b

from pydantic import JsonValue
from pydantic_core import to_json

from omnivec2.preprocess.notes import Note
from service.pipeline.host_stages import FileInput, RawInput

_DIGEST_BYTES = 32
"""Long enough that nobody can make two inputs with one digest."""


def request_digest(
    inputs: Sequence[RawInput],
    parameters: Mapping[str, JsonValue],
    *facts: str,
    notes: Sequence[Note] = (),
) -> bytes:
    """Return the digest of a request, or of one of its inputs.

    Args:
        inputs: The inputs: their bytes and types, or their values.
        parameters: The parameters of the task's family and of the inputs' source.
        facts: The texts of all else that the answer depends on, such as whose it is.
        notes: The remarks on the form of the request, which are part of its answer.
    """
    digest = blake2b(digest_size=_DIGEST_BYTES)
    for part in _parts(inputs, parameters, facts, notes):
        # With their lengths, so that no part can be taken for the end of another.
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
    return digest.digest()


def _parts(
    inputs: Sequence[RawInput],
    parameters: Mapping[str, JsonValue],
    facts: Iterable[str],
    notes: Sequence[Note],
) -> Iterable[bytes]:
    for fact in facts:
        yield fact.encode("utf-8", "surrogatepass")
    yield _as_json(dict(parameters))
    yield _as_json([note.to_json() for note in notes])
    for raw in inputs:
        if isinstance(raw, FileInput):
            yield f"file {raw.media_type}".encode()
            yield raw.data
        else:
            yield b"json"
            yield _as_json(raw.value)


def _as_json(value: object) -> bytes:
    # Keys stay in their order: that of columns is the order of their answers.
    return to_json(value, inf_nan_mode="constants")
