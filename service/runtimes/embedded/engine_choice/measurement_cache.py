"""Measurements of engines on this machine, kept in a file from one start to the next."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import platform
from collections.abc import Iterable
from pathlib import Path

from omnivec2.atomic_files import write_file

_LOG = logging.getLogger(__name__)

_CPU_FIELDS = ("model name", "flags", "Features")
"""The lines of /proc/cpuinfo on which speed and rounding depend; ``Features`` is Arm's."""

_MAX_BYTES = 2**20
"""A larger file is not read: it is not one of ours."""


class MeasurementCache:
    """Numbers by key in a JSON file. A file that cannot be read or written is no error.

    Args:
        directory: The directory of the file; it is made when something is stored.
    """

    def __init__(self, directory: Path) -> None:
        self._path = directory / f"engines-{machine_digest()}.json"
        self._values = self._read()
        self._changed = False

    def get(self, key: str) -> float | None:
        """Return the number of a key, or None if it has not been measured."""
        return self._values.get(key)

    def put(self, key: str, value: float) -> None:
        """Keep a number; ``save`` writes it."""
        self._values[key] = value
        self._changed = True

    def save(self) -> None:
        """Write the file if something was added."""
        if not self._changed:
            return
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            write_file(self._path, json.dumps(self._values, indent=1).encode())
        except OSError as error:
            # A read-only container measures again at the next start.
            _LOG.info("measurements are not kept: %s: %s", self._path, error.strerror)
        self._changed = False

    def _read(self) -> dict[str, float]:
        try:
            if self._path.stat().st_size > _MAX_BYTES:
                return {}
            values = json.loads(self._path.read_bytes())
        except (OSError, ValueError):
            return {}
        if not isinstance(values, dict):
            return {}
        return {key: float(v) for key, v in values.items() if isinstance(v, int | float)}


def digest_of(parts: Iterable[str]) -> str:
    """Return a short sha256 over texts, for keys."""
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:24]


def machine_digest(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """Return a digest of the processor, its instruction sets and what limits them."""
    try:
        lines = cpuinfo.read_text().splitlines()
    except OSError:
        lines = [platform.processor()]
    cpu = sorted({line for line in lines if line.startswith(_CPU_FIELDS)} or set(lines))
    limits = [f"{name}={os.environ.get(name, '')}" for name in _LIMITING_VARIABLES]
    return digest_of([platform.machine(), str(os.cpu_count()), *cpu, *limits])[:12]


_LIMITING_VARIABLES = ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA", "CUDA_VISIBLE_DEVICES")
"""Environment variables that take instruction sets or devices away from engines."""
