"""Families of processors, from what Linux says of them."""

from __future__ import annotations

import platform

import pytest

from loadtests.benchmarks.cpu_family import cpu_family


def cpuinfo(vendor: str, flags: str) -> str:
    core = f"vendor_id\t: {vendor}\nmodel name\t: A name\nflags\t\t: fpu sse2 {flags}\n"
    return f"processor\t: 0\n{core}\nprocessor\t: 1\n{core}"


@pytest.mark.parametrize(
    ("vendor", "flags", "family"),
    [
        ("GenuineIntel", "avx2 avx512f avx512_vnni avx512_bf16 amx_tile", "intel-amx"),
        ("AuthenticAMD", "avx2 avx512f avx512_vnni avx512_bf16", "amd-avx512-bf16"),
        ("GenuineIntel", "avx2 avx512f avx512_vnni", "intel-avx512-vnni"),
        ("GenuineIntel", "avx2 avx512f", "intel-avx512"),
        ("GenuineIntel", "avx2 avx_vnni", "intel-avx2-vnni"),
        ("AuthenticAMD", "avx2", "amd-avx2"),
        ("HygonGenuine", "", "other-sse"),
    ],
)
def test_a_family_is_the_maker_and_the_widest_instructions(
    vendor: str, flags: str, family: str
) -> None:
    assert cpu_family(cpuinfo(vendor, flags)) == family


def test_where_there_are_no_flags_it_is_the_machine_type() -> None:
    assert cpu_family("processor\t: 0\nFeatures\t: fp asimd\n") == platform.machine()


def test_this_machine_has_a_family() -> None:
    assert cpu_family() == cpu_family() != ""
