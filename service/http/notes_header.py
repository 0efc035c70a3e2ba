"""Notes on inputs in HTTP: the header ``X-Notes`` of an answer.

It is a list of RFC 9651 (structured fields), with one member per note::

    X-Notes: cut;field="inputs[0]";count=412;text="the end was not read", ignored;count=1;text="…"

A value that is not ASCII is a Display String, ``field=%"caf%c3%a9"``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from urllib.parse import quote, unquote

from pydantic import JsonValue

from omnivec2.preprocess.notes import Note

NOTES_HEADER = "X-Notes"

MORE = "more"
"""The token of the last member if not all notes fit; its count is the number of the others."""

_MOST_BYTES = 2048
_ROOM_FOR_MORE = 24
_LONGEST_FIELD = 100

# Signs that notes use and that read as well in ASCII.
_ASCII_SIGNS = str.maketrans(
    {"…": "...", "–": "-", "—": "-", "−": "-", "×": "x", "²": "2", "³": "3", "µ": "u", "μ": "u"}
    | {
        "°": " deg",
        "Å": "A",
        "’": "'",
        "‘": "'",
        "“": '"',
        "”": '"',
        "→": "->",
        "≤": "<=",
        "≥": ">=",
    }
)
# What a Display String holds as it is: printable ASCII but for these two.
_DISPLAY_SAFE = "".join(set(map(chr, range(0x20, 0x7F))) - {"%", '"'})

_VALUE = r'(?:(?P<count>\d+)|(?P<display>%?)"(?P<text>(?:\\.|[^"\\])*)")'
_PARAMETER = re.compile(rf";(?P<key>[a-z]+)={_VALUE}")
_MEMBER = re.compile(r'([a-z_]+)((?:;[a-z]+=(?:\d+|%?"(?:\\.|[^"\\])*"))*)')


def notes_value(notes: Sequence[Note]) -> str:
    """Return the value of ``X-Notes``: at most 2 KiB of ASCII.

    Args:
        notes: The notes; at least one.
    """
    members: list[str] = []
    room = _MOST_BYTES - _ROOM_FOR_MORE
    for note in notes:
        member = _member(note)
        room -= len(member) + 2
        if room < 0:
            members.append(f"{MORE};count={len(notes) - len(members)}")
            break
        members.append(member)
    return ", ".join(members)


def parse_notes(value: str) -> list[dict[str, JsonValue]]:
    """Return the notes in a value of ``X-Notes`` in the form of ``Note.to_json``."""
    return [
        {"code": code} | {p["key"]: _parameter_value(p) for p in _PARAMETER.finditer(parameters)}
        for code, parameters in _MEMBER.findall(value)
    ]


def _member(note: Note) -> str:
    field = "" if note.field is None else f";field={_string(note.field[:_LONGEST_FIELD])}"
    text = note.text.translate(_ASCII_SIGNS)
    return f"{note.code.value}{field};count={note.count};text={_string(text)}"


def _string(text: str) -> str:
    """Return a text as a String, or as a Display String if it is not printable ASCII."""
    if text.isascii() and text.isprintable():
        escaped = text.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"'
    encoded = quote(text, safe=_DISPLAY_SAFE, errors="replace")
    return f'%"{re.sub("%..", lambda found: found[0].lower(), encoded)}"'


def _parameter_value(found: re.Match[str]) -> str | int:
    if found["count"] is not None:
        return int(found["count"])
    if found["display"]:
        return unquote(found["text"])
    return re.sub(r"\\(.)", r"\1", found["text"])
