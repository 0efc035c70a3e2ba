"""All errors that this project raises on purpose.

::

    OmniVecError
    ├── InputError                       the caller can fix it (4xx)
    │   ├── UnknownModelError            404  no such modality or task
    │   ├── UnknownRequestError          404  no answer to such a request is remembered
    │   ├── FeedbackGivenError           410  an answer that has had its feedback
    │   ├── UnknownJobError              404  no such job, or not any more
    │   ├── TooLargeError                413  over a limit, found before memory is spent
    │   ├── UnsupportedMediaTypeError    415  a type this modality does not take
    │   ├── UndecodableError             422  bytes that are not what they claim to be
    │   └── InvalidInputError            422  decoded, but a field or value is wrong
    │       ├── InvalidParameterError    422  a request parameter is wrong
    │       └── NotedInputError          422  there are notes on an input of a strict request
    ├── AccessError                      the caller may not do this
    │   ├── UnauthenticatedError         401  no API key, or one that is not known
    │   └── ForbiddenError               403  a key that may not do this
    ├── OverloadedError                  429  come back later
    ├── ModelNotReadyError               503  the model is known but cannot answer now
    │   ├── StaleModelError              503  another version has replaced it; retry with that one
    │   └── RefusedTensorsError          503  the engine cannot take these values
    ├── DeadlineExceededError            504  no answer within the time allowed
    ├── SwitchedOffError                 501  this service has not been set up for that
    └── ArtifactError                    files on disk are wrong; seen at start, not by callers
        ├── CheckpointError              a checkpoint directory is incomplete or altered
        ├── PassportError                a model does not match its passport
        └── ExportError                  a graph could not be exported
            └── ParityError              an exported graph answers unlike the network

Messages name what was expected, because they are shown to callers as they are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence


class OmniVecError(Exception):
    """The root of the tree. ``str(error)`` is safe to show to a caller.

    Attributes:
        reason: A word for the metrics, if the request was rejected whatever its content.
    """

    reason: str = ""


class InputError(OmniVecError):
    """The request cannot be answered as it is; the caller can change it.

    Args:
        message: A sentence about what is wrong and what was expected instead.
        field: The field of the request that is wrong, e.g. ``inputs[2].age``.
        known: The values that would have been accepted instead, if that is a short list.
    """

    def __init__(
        self, message: str, *, field: str | None = None, known: Sequence[str] = ()
    ) -> None:
        super().__init__(message)
        self.field = field
        self.known = tuple(known)


class UnknownModelError(InputError):
    """No such modality or task is loaded."""


class UnknownRequestError(InputError):
    """No answer to a request of this id and caller is remembered."""


class FeedbackGivenError(InputError):
    """The answer has had its feedback, which counts once."""


class UnknownJobError(InputError):
    """No such job is known: its id is wrong, it has expired, or it is another key's."""


class TooLargeError(InputError):
    """A declared or real size is over its limit."""


class UnsupportedMediaTypeError(InputError):
    """The content type is not one this modality takes."""


class UndecodableError(InputError):
    """The bytes are damaged, truncated or not of their declared type."""


class InvalidInputError(InputError):
    """The input was decoded, but a field or value is not usable."""


class InvalidParameterError(InvalidInputError):
    """A request parameter is unknown, of the wrong type or out of range."""


class NotedInputError(InvalidInputError):
    """There are notes on an input, and the request is to be answered only if there are none.

    Args:
        message: A sentence about the first of the notes.
        notes: The notes, as JSON shows them.
        field: The part of the request that the first note is about.
    """

    def __init__(
        self, message: str, notes: Sequence[Mapping[str, str | int]], *, field: str | None = None
    ) -> None:
        super().__init__(message, field=field)
        self.notes = tuple(notes)


class AccessError(OmniVecError):
    """The caller may not do this."""


class UnauthenticatedError(AccessError):
    """The caller is not authenticated.

    Args:
        message: A sentence about what is expected.
        invalid: Whether there was a key, but an unknown one.
    """

    reason = "unauthenticated"

    def __init__(self, message: str, *, invalid: bool = False) -> None:
        super().__init__(message)
        self.invalid = invalid


class ForbiddenError(AccessError):
    """The caller is known, but may not do this."""

    reason = "forbidden"


class OverloadedError(OmniVecError):
    """Too many requests are waiting already.

    Args:
        message: A sentence about what is full.
        retry_after_seconds: The time after which a retry makes sense.
        reason: The cause in one word, for the metrics.
    """

    def __init__(
        self, message: str, *, retry_after_seconds: float = 1.0, reason: str = "overloaded"
    ) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds
        self.reason = reason


class ModelNotReadyError(OmniVecError):
    """The model exists but cannot answer now."""


class StaleModelError(ModelNotReadyError):
    """Another version has replaced the model since the request was prepared."""


class RefusedTensorsError(ModelNotReadyError):
    """The engine cannot take its input values, such as an index outside of a table.

    The status depends on who made the tensors: the gateway (503) or its caller (422).
    """


class DeadlineExceededError(OmniVecError):
    """The time allowed for an answer has passed."""


class SwitchedOffError(OmniVecError):
    """The service has not been set up for what was requested; the message names the setting."""


class ArtifactError(OmniVecError):
    """A file this project wrote or reads at start is missing or wrong."""


class CheckpointError(ArtifactError):
    """A checkpoint directory is incomplete or was altered."""


class PassportError(ArtifactError):
    """A model's files, versions or parity do not match its passport."""


class ExportError(ArtifactError):
    """A graph could not be exported."""


class ParityError(ExportError):
    """An exported graph answers unlike the network it came from."""
