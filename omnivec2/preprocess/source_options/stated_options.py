"""What a caller states about an input that the input itself does not: units, scales, rates.

They travel among a request's ``parameters``. A preprocessor names the ones that it knows in its
``source_options_type`` and reads them with :func:`stated`; the rest are the task family's.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

from pydantic import BaseModel, ConfigDict


class SourceOptions(BaseModel):
    """The base class of what can be stated about an input; every field has a default."""

    model_config = ConfigDict(frozen=True, extra="forbid")


OptionsT = TypeVar("OptionsT", bound=SourceOptions)

_STATED: ContextVar[SourceOptions | None] = ContextVar("source_options", default=None)


def stated(kind: type[OptionsT]) -> OptionsT:
    """Return what is stated about the input that is being read; the defaults if nothing is."""
    options = _STATED.get()
    return options if isinstance(options, kind) else kind()


@contextmanager
def state(options: SourceOptions | None) -> Iterator[None]:
    """State options for the inputs that are read within the ``with`` block, in its thread."""
    token = _STATED.set(options)
    try:
        yield
    finally:
        _STATED.reset(token)
