"""The processor's name as a part of file names."""

from __future__ import annotations

import pytest

from omnivec2.engines.hardware_name import name_for_files, processor_name


@pytest.mark.parametrize(
    ("hardware", "name"),
    [
        ("2 cores Intel(R) Xeon(R) Processor @ 2.80GHz", "2-cores-Intel-Xeon-Processor-2.80GHz"),
        ("2 cores AMD EPYC", "2-cores-AMD-EPYC"),
        ("8 cores Intel(R) Core(TM) i7 / 11th", "8-cores-Intel-Core-i7-11th"),
    ],
)
def test_a_name_for_files_has_no_marks_and_no_signs(hardware: str, name: str) -> None:
    assert name_for_files(hardware) == name


def test_this_machine_has_a_processor_with_a_name() -> None:
    assert processor_name()
