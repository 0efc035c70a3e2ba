"""Two texts in one plain text: two lines, or two fields separated by a tab."""

from __future__ import annotations

from omnivec2.errors import InvalidInputError
from omnivec2.preprocess.notes import NoteCode, note

_HOW = 'send JSON: {"inputs": {"text": "…", "text_pair": "…"}}'


def split_pair(text: str) -> tuple[str, str]:
    """Return the two texts; a separator that could be a part of a text is noted.

    Raises:
        InvalidInputError: They are not two, or could be separated in two ways.
    """
    lines = [line for line in text.splitlines() if line.strip()]
    fields = [field for field in text.split("\t") if field.strip()]
    in_tabs = sum("\t" in line.strip() for line in lines)
    if len(lines) == 2 and in_tabs == 2:
        raise InvalidInputError(
            "this head compares two texts, and two lines that both hold a tab could be two pairs "
            f"or one: {_HOW}",
            field="inputs",
        )
    if len(lines) == 2:
        if in_tabs:
            note(
                NoteCode.GUESSED,
                f"each of the two lines was read as a text, and the tab as a part of it; {_HOW} to "
                "be sure",
            )
        return lines[0], lines[1]
    if len(fields) == 2:
        if len(lines) > 1:
            note(
                NoteCode.GUESSED,
                f"what is before and after the only tab was read as the two texts; {_HOW} to be "
                "sure",
            )
        return fields[0], fields[1]
    raise InvalidInputError(
        "this head compares two texts: expected two lines, or two texts separated by a tab, got "
        f"{len(lines)} lines and {len(fields)} fields; {_HOW}",
        field="inputs",
    )
