"""A program that cuts a recording into pieces, and waits before each until it is asked for.

::

    python -m service.jobs.cutting.piece_writer MODALITY FILE DIRECTORY NUMBER...

The numbers are those of ``PieceLimits``, and the memory in bytes that it may take. It writes a line
of JSON for every piece and for its end, and reads a line before it goes on.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omnivec2.errors import InputError, TooLargeError, UndecodableError
from omnivec2.preprocess.notes import collect_notes
from omnivec2.spec import Modality
from service.decoding.nursery import limit_process


def main() -> None:
    """Cut the recording that the arguments name."""
    from omnivec2.preprocess.formats.media.recording_pieces import CUTTERS, PieceLimits

    modality, file, directory, seconds, piece_seconds, piece_bytes, memory_bytes = sys.argv[1:]
    if sys.platform == "linux":
        limit_process(int(memory_bytes))
    cutter = CUTTERS[Modality(modality)]
    limits = PieceLimits(float(seconds), float(piece_seconds), int(piece_bytes))
    try:
        with collect_notes() as notes:
            for piece in cutter(Path(file), Path(directory), limits):
                _say({"piece": piece.path.name, "total": piece.total})
                if not sys.stdin.readline():
                    return
        _say({"end": True, "notes": [[n.code.value, n.text, n.field, n.count] for n in notes]})
    except InputError as error:
        _say({"refused": type(error).__name__, "message": str(error), "field": error.field})
    except MemoryError:
        message = "the recording needs more memory than a decoder may take"
        _say({"refused": TooLargeError.__name__, "message": message, "field": "inputs"})
    except Exception as error:  # of a codec, or of a container that cannot be written
        print(repr(error), file=sys.stderr)
        message = "the recording cannot be cut; convert it with ffmpeg -i INPUT OUTPUT.mp4"
        _say({"refused": UndecodableError.__name__, "message": message, "field": "inputs"})


def _say(message: Mapping[str, Any]) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
