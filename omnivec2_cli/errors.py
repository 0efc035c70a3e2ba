"""How the command line reports errors: one line on standard error and an exit status.

Exit status 1 means that the command failed, 2 that the user's input or usage was wrong, 3 that some
of many inputs have no answer, and 130 that it was interrupted.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import typer

from omnivec2.errors import InputError, OmniVecError

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_SOME_FAILED = 3
EXIT_INTERRUPTED = 130
"""The exit status that shells report for a process ended by SIGINT: 128 + 2."""


@contextmanager
def needs_extra(extra: str) -> Iterator[None]:
    """Turn a missing library into an error that names the extra which installs it.

    Args:
        extra: The name of the extra in ``pyproject.toml``, for example ``train``.

    Raises:
        OmniVecError: A module that the body imports is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        message = f"this needs {error.name}: pip install 'omnivec2-serve[all,{extra}]'"
        raise OmniVecError(message) from error


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Print the error that ends the body in one line, and exit with the status that fits it.

    Raises:
        typer.Exit: The body raised an ``OmniVecError``, or was interrupted.
    """
    try:
        yield
    except OmniVecError as error:
        typer.secho(f"error: {error}", err=True, fg=typer.colors.RED)
        code = EXIT_USAGE if isinstance(error, InputError) else EXIT_FAILED
        raise typer.Exit(code) from error
    except KeyboardInterrupt:
        raise typer.Exit(EXIT_INTERRUPTED) from None
