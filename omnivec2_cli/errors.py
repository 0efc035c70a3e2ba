"""How the command line reports errors: one line on standard error and an exit status.

Exit status 1 means that the command failed, 2 that the user's input or usage was wrong, 3 that some
of many inputs have no answer, 130 that Ctrl-C (SIGINT) stopped it, and 143 that SIGTERM did.
"""

from __future__ import annotations

import shlex
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

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
    except KeyboardInterrupt as stop:
        raise typer.Exit(getattr(stop, "exit_status", EXIT_INTERRUPTED)) from None


@contextmanager
def resumable(kept: str) -> Iterator[None]:
    """Say how to go on when Ctrl-C or SIGTERM ends the body, of a command that keeps its work.

    Within it SIGTERM raises ``Interrupted`` as Ctrl-C raises KeyboardInterrupt. Training's steps
    have handlers of their own, which save first.

    Args:
        kept: The work that is kept, for example ``the state in runs/first``.

    Raises:
        KeyboardInterrupt: The same again, for the exit status.
    """
    from omnivec2.training.runs.interruption import Interrupted

    def stop_now(number: int, frame: FrameType | None) -> None:
        del frame
        raise Interrupted(number)

    in_main_thread = threading.current_thread() is threading.main_thread()
    previous = signal.signal(signal.SIGTERM, stop_now) if in_main_thread else None
    try:
        yield
    except KeyboardInterrupt as stop:
        done = getattr(stop, "steps", None)
        saved = "stopped" if done is None else f"stopped and saved after step {done:,}"
        command = shlex.join(["omnivec2", *sys.argv[1:]])
        typer.echo(f"{saved}; {kept} is kept. To go on, run the same command again:", err=True)
        typer.echo(f"  {command}", err=True)
        raise
    finally:
        if in_main_thread:
            signal.signal(signal.SIGTERM, previous)
