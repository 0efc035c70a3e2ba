"""Files as inputs: their content types by their names, and their names in messages."""

from __future__ import annotations

import mimetypes
import re
from collections.abc import Sequence
from dataclasses import dataclass

_INPUT = re.compile(r"inputs\[(\d+)\]")


@dataclass(frozen=True)
class NamedFile:
    """A file whose content is one input.

    Attributes:
        name: The name of the file, as the user gave it.
        data: The content of the file.
    """

    name: str
    data: bytes

    @property
    def guessed_type(self) -> str:
        """The content type that the name suggests."""
        return mimetypes.guess_type(self.name)[0] or "application/octet-stream"


def message_with_file_name(message: str, field: str | None, files: Sequence[NamedFile]) -> str:
    """Return a message with the name of the file that it is about.

    Args:
        message: The message of an error.
        field: The field of the error; ``inputs[2]`` is the third file, and a field that names no
            input leaves the message as it is.
        files: The files in the order of the inputs.
    """
    found = _INPUT.match(field or "")
    number = int(found[1]) if found else -1
    return f"{files[number].name}: {message}" if 0 <= number < len(files) else message
