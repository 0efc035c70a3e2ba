"""Running ``omnivec2`` in the process of a test."""

from __future__ import annotations

from typer.testing import CliRunner, Result

from omnivec2_cli.main import app


def run(*arguments: object, text: str | None = None) -> Result:
    """Run the command line and return its exit code and output.

    Args:
        arguments: The words after ``omnivec2``.
        text: The standard input.
    """
    return CliRunner().invoke(app, [str(argument) for argument in arguments], input=text)
