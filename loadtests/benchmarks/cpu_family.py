"""The kind of processor that ratios can be compared within: maker, and widest instructions."""

from __future__ import annotations

import platform
from pathlib import Path

_VENDORS = {"GenuineIntel": "intel", "AuthenticAMD": "amd"}

_WIDEST = (
    ("amx", "amx_tile"),
    ("avx512-bf16", "avx512_bf16"),
    ("avx512-vnni", "avx512_vnni"),
    ("avx512", "avx512f"),
    ("avx2-vnni", "avx_vnni"),
    ("avx2", "avx2"),
)
"""Names of the instructions that engines multiply matrices with, the fastest first, and the flag
in ``/proc/cpuinfo`` that shows each."""


def cpu_family(cpuinfo: str | None = None) -> str:
    """Return the family of this machine's processor, as part of a file's name.

    Args:
        cpuinfo: The content of ``/proc/cpuinfo``; read if None.

    Returns:
        Maker and widest instructions, such as ``amd-avx512-bf16``; elsewhere than on x86 the
        machine type, such as ``aarch64``.
    """
    if cpuinfo is None:
        path = Path("/proc/cpuinfo")
        cpuinfo = path.read_text() if path.exists() else ""
    fields: dict[str, str] = {}
    for line in cpuinfo.splitlines():
        name, _, value = line.partition(":")
        fields.setdefault(name.strip(), value.strip())
    flags = set(fields.get("flags", "").split())
    if not flags:
        return platform.machine()
    vendor = _VENDORS.get(fields.get("vendor_id", ""), "other")
    widest = next((name for name, flag in _WIDEST if flag in flags), "sse")
    return f"{vendor}-{widest}"
