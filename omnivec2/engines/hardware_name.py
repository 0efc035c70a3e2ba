"""What the processor is called: as it says itself, and as a part of a file's name."""

from __future__ import annotations

import platform
import re
from pathlib import Path

_MARKS = re.compile(r"\((?:R|TM)\)|@", re.IGNORECASE)
_NOT_FOR_FILES = re.compile(r"[^\w.]+")


def processor_name() -> str:
    """Return the processor's own name, or its architecture if it tells none."""
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def name_for_files(hardware: str) -> str:
    """Return the name of hardware with nothing that a path, an address or a shell would mistake.

    Args:
        hardware: The name, such as ``2 cores Intel(R) Xeon(R) Processor @ 2.80GHz``.
    """
    return _NOT_FOR_FILES.sub("-", _MARKS.sub("", hardware)).strip("-")
