"""Summaries on disk are whole, or say what is missing."""

from __future__ import annotations

from pathlib import Path

import pytest

from omnivec2.network.config import Summary
from omnivec2.training.adaptation.fitting.kept_summaries import KeptSummaries

WIDTHS: dict[Summary, int] = {"cls": 2, "mean": 3}


def test_what_an_interrupted_pass_has_done_is_found_again(tmp_path: Path) -> None:
    kept = KeptSummaries(tmp_path, "digest", 4)
    found = kept.load(WIDTHS)
    assert not found.done.any()
    found.values["cls"][1] = 7.0
    found.done[1] = True
    with pytest.raises(KeyboardInterrupt), kept.keeping(found):
        raise KeyboardInterrupt
    again = kept.load(WIDTHS)
    assert again.done.tolist() == [False, True, False, False]
    assert again.values["cls"][1].tolist() == [7.0, 7.0]
    with kept.keeping(again):
        again.done[:] = True
    assert kept.load(WIDTHS).done.all()


def test_other_summaries_of_a_whole_pass_are_kept_and_of_a_partial_one_are_not(
    tmp_path: Path,
) -> None:
    kept = KeptSummaries(tmp_path, "digest", 2)
    parts: list[dict[Summary, int]] = [{"cls": 2}, {"mean": 3}]
    for widths in parts:
        found = kept.load(widths)
        with kept.keeping(found):
            found.done[:] = True
    assert kept.load(WIDTHS).done.all()
    partial = KeptSummaries(tmp_path, "other", 2)
    found = partial.load(WIDTHS)
    with partial.keeping(found):
        found.done[0] = True
    found = partial.load({"cls": 2})
    with partial.keeping(found):
        found.done[:] = True
    assert not partial.load(WIDTHS).done.any()
