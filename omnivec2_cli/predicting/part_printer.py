"""Parts of an answer on the terminal: words as they are written, windows as they are known."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

import typer
from pydantic import JsonValue

from omnivec2_cli.tables import brief

if TYPE_CHECKING:
    from service.request_context import PartAnswer


class PartPrinter:
    """Prints parts of an answer as they come: on standard error, or as JSON on standard output.

    Args:
        names: The names of the inputs.
        as_json: Whether every part is a line of JSON, as an event of the service.
    """

    def __init__(self, names: Sequence[str], *, as_json: bool) -> None:
        self._names = names
        self._as_json = as_json
        self._text = ""
        self._input = 0

    def __call__(self, part: PartAnswer) -> None:
        """Print a part."""
        if self._as_json:
            typer.echo(json.dumps(asdict(part), ensure_ascii=False))
        elif part.event == "token":
            self._write(part)
        else:
            of_input = self._names[part.input] if part.input < len(self._names) else part.input
            place = f"{of_input} {part.index + 1}/{part.count}"
            typer.echo(f"{place}: {brief(json.dumps(part.answer, ensure_ascii=False))}", err=True)

    def finish(self) -> None:
        """End the line of a text."""
        if self._text:
            typer.echo("", err=True)
            self._text = ""

    def _write(self, part: PartAnswer) -> None:
        """Print what is new of a text; one that a search has changed is begun again."""
        text = _text_of(part.answer)
        if part.input != self._input or not text.startswith(self._text):
            self.finish()
        self._input = part.input
        typer.echo(text.removeprefix(self._text), nl=False, err=True)
        self._text = text


def _text_of(answer: JsonValue) -> str:
    """Return the text in a part of an answer that is written."""
    values = answer.values() if isinstance(answer, dict) else ()
    return next((value for value in values if isinstance(value, str)), "")
