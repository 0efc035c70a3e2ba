"""What is stated of an input reaches the preprocessor that knows it, and no other."""

from __future__ import annotations

from omnivec2.preprocess.source_options import SourceOptions, state, stated


class LengthOptions(SourceOptions):
    """An example: lengths in a unit."""

    unit: str = "m"


class OtherOptions(SourceOptions):
    """Those of another modality."""

    rate: float = 1.0


def test_without_a_statement_the_defaults_hold() -> None:
    assert stated(LengthOptions).unit == "m"


def test_what_is_stated_holds_within_its_block() -> None:
    with state(LengthOptions(unit="mm")):
        assert stated(LengthOptions).unit == "mm"
        assert stated(OtherOptions).rate == 1.0
    assert stated(LengthOptions).unit == "m"
