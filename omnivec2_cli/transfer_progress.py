"""The progress of a push or a pull: a bar in a terminal, else a line for every tenth."""

from __future__ import annotations

import sys

import typer

from omnivec2.sharing.manifest import SharedFile

_MIB = 2**20


class TransferProgress:
    """A counter of bytes that are moved, shown on standard error.

    Args:
        verb: The past participle of what happens to them.

    Attributes:
        bytes: The bytes so far.
    """

    def __init__(self, verb: str) -> None:
        self._verb = verb
        self._tenths: dict[str, int] = {}
        self.bytes = 0
        self._by_file: dict[str, int] = {}

    def __call__(self, file: SharedFile, count: int) -> None:
        """Add bytes of a file, and show how far it is if it is a large one."""
        self.bytes += count
        done = self._by_file[file.path] = self._by_file.get(file.path, 0) + count
        if file.bytes < _MIB:
            return
        tenth = min(10, 10 * done // file.bytes)
        if tenth == self._tenths.get(file.path, -1):
            return
        self._tenths[file.path] = tenth
        last = tenth == 10
        line = f"{self._verb} {done / _MIB:,.0f} of {file.bytes / _MIB:,.0f} MiB of {file.path}"
        in_place = sys.stderr.isatty()
        typer.echo(f"\r{line}" if in_place else line, err=True, nl=last or not in_place)
