"""How the command line reads its arguments and tells that something is wrong."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import typer
from pydantic import JsonValue

from omnivec2.errors import InputError, OmniVecError

EXIT_FAILED = 1
EXIT_USAGE = 2


def parse_parameters(text: str) -> dict[str, JsonValue]:
    """The value of ``--parameters``.

    Raises:
        InputError: it is not a JSON object.
    """
    try:
        value = json.loads(text)
    except ValueError as error:
        raise InputError(f"--parameters is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise InputError('--parameters: expected an object, e.g. {"top_k": 3}')
    return value


def read_input(name: str) -> bytes:
    """The bytes of a file, or of standard input for ``-``.

    Raises:
        InputError: it cannot be read.
    """
    try:
        return sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
    except OSError as error:
        raise InputError(f"{name}: {error.strerror}") from error


@contextmanager
def needs_extra(extra: str) -> Iterator[None]:
    """Turn a missing library into the name of the extra that brings it."""
    try:
        yield
    except ModuleNotFoundError as error:
        message = f"this needs {error.name}: pip install 'omnivec2-serve[{extra}]'"
        raise OmniVecError(message) from error


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Print what went wrong in one line, with a status that tells whose turn it is."""
    try:
        yield
    except OmniVecError as error:
        typer.secho(f"error: {error}", err=True, fg=typer.colors.RED)
        code = EXIT_USAGE if isinstance(error, InputError) else EXIT_FAILED
        raise typer.Exit(code) from error
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
