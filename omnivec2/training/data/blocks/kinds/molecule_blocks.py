"""``sdf``: a structure-data file of molecules, whose data items are targets and columns."""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from pydantic import Field

from omnivec2.training.data.blocks.examples import Example, Origin, Problem, ProblemKind
from omnivec2.training.data.blocks.files import BlockFiles, listed
from omnivec2.training.data.blocks.kinds.base import Block, Names
from omnivec2.training.yaml_lines import did_you_mean

_ITEM = re.compile(r"^>.*?<([^>]+)>.*$")
_RECORD_END = "$$$$"


class SdfBlock(Block):
    """Molecules of an SDF file, plain or gzipped; every one is read as a request would be."""

    kind: Literal["sdf"] = "sdf"
    label: Names = Field(min_length=1, description="data items of the target")

    def read(self, files: BlockFiles) -> Iterator[Example | Problem]:
        """Yield the molecules of every file."""
        for part, path in self.paths(files):
            name = files.name(path)
            try:
                text = _text(path)
            except (OSError, EOFError, UnicodeDecodeError) as error:
                reason = f"not a readable SDF file: {error}"
                yield Problem(ProblemKind.UNREADABLE_FILE, Origin(name), reason)
                continue
            if not text.strip():
                yield Problem(ProblemKind.EMPTY, Origin(name), "the file is empty")
            for number, record in enumerate(_records(text), 1):
                yield self._example(Origin(name, number, "molecule"), record, part)

    def _example(self, origin: Origin, record: str, part: str | None) -> Example | Problem:
        items = _items(record)
        for wanted in (*self.label, *self.split_columns):
            if wanted not in items:
                known = list(items)
                reason = (
                    f"there is no data item {wanted!r}; there are {listed(known)}"
                    f"{did_you_mean(wanted, known)}"
                )
                return Problem(ProblemKind.BAD_TARGET, origin, reason)
        target = {name: items[name] for name in self.label}
        columns = {name: items[name] for name in self.split_columns}
        # The structure alone: data items are not for the reader, and may hold the target.
        structure = record.split("M  END", 1)[0] + "M  END\n"
        return Example(structure, target, origin, part, columns)


def _text(path: Path) -> str:
    data = path.read_bytes()
    return (gzip.decompress(data) if path.name.endswith(".gz") else data).decode("utf-8")


def _records(text: str) -> Iterator[str]:
    """Yield the text of each molecule; the last one may lack its end."""
    lines: list[str] = []
    for line in text.splitlines():
        if line.startswith(_RECORD_END):
            yield "\n".join(lines) + "\n"
            lines = []
        else:
            lines.append(line)
    if any(line.strip() for line in lines):
        yield "\n".join(lines) + "\n"


def _items(record: str) -> dict[str, str]:
    """Return the data items of a molecule: the lines below ``> <name>`` up to an empty one."""
    items: dict[str, str] = {}
    name: str | None = None
    for line in record.splitlines():
        if (match := _ITEM.match(line)) is not None:
            name = match.group(1)
            items[name] = ""
        elif name is not None:
            if not line.strip():
                name = None
            else:
                items[name] = f"{items[name]}\n{line}".strip()
    return items
