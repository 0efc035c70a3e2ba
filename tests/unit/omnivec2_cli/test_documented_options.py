"""Commands that the documents show exist, with the options that they show."""

from __future__ import annotations

import functools
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer.main

from omnivec2_cli.main import app
from tests.support.documents import DOCUMENTS

_FENCE = re.compile(r"^```bash.*?$(.*?)^```$", re.DOTALL | re.MULTILINE)


def _documented() -> list[tuple[str, list[str]]]:
    """Every command line of ``omnivec2`` in a fenced block, with the name of its document."""
    found = []
    for path in DOCUMENTS:
        for block in _FENCE.findall(path.read_text()):
            for line in block.replace("\\\n", " ").splitlines():
                words = shlex.split(line, comments=True)
                if words and Path(words[0]).name == "omnivec2":
                    found.append((path.name, words[1:]))
    return found


@functools.cache
def _root() -> Any:
    return typer.main.get_command(app)


def _command(words: list[str]) -> tuple[Any, list[str]]:
    """The command that a command line names, and the words after its name."""
    command = _root()
    while words and hasattr(command, "commands") and words[0] in command.commands:
        command, words = command.commands[words[0]], words[1:]
    return command, words


def _options(words: list[str]) -> list[str]:
    names = (word.partition("=")[0] for word in words)
    return [name for name in names if re.match(r"--?[a-z]", name) and name != "--help"]


@pytest.mark.parametrize(
    ("document", "words"),
    _documented(),
    ids=lambda value: value if isinstance(value, str) else "-".join(value[:2]),
)
def test_a_documented_command_has_the_options_it_is_shown_with(
    document: str, words: list[str]
) -> None:
    command, rest = _command(words)
    assert not hasattr(command, "commands") or rest in ([], ["--help"]), f"{document}: {words}"
    known = {name for parameter in command.params for name in parameter.opts}
    assert [name for name in _options(rest) if name not in known] == [], document


def test_the_readme_shows_how_to_serve_and_how_to_test_first() -> None:
    readme = next(path for path in DOCUMENTS if path.name == "README.md").read_text()
    first = _FENCE.findall(readme)[0]
    assert [line.split("#")[0].strip() for line in first.split("\n") if line] == [
        "make serve",
        "make test",
    ]
    assert readme.index(first) < readme.index("\n## ")


def _all_commands(command: Any) -> list[Any]:
    """A command, and all below it."""
    below = getattr(command, "commands", {}).values()
    return [command, *(found for one in below for found in _all_commands(one))]


def test_examples_in_help_are_lines_of_their_own() -> None:
    for command in _all_commands(typer.main.get_command(app)):
        assert not re.search(r"Examples:\n[^\n]", command.help or ""), command
