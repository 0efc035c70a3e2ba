from __future__ import annotations

import pytest

from omnivec2.postprocess.part_contexts import context_of_sample


def test_facts_of_series_are_cut_to_one_of_them() -> None:
    context = {
        "names": ["a", "b"],
        "location": [1.0, 2.0],
        "scale": [3.0, 4.0],
        "reduce": "each",
    }
    assert context_of_sample(context, 1) == {
        "names": ["b"],
        "location": [2.0],
        "scale": [4.0],
        "reduce": "each",
    }


def test_facts_of_a_recording_hold_for_its_windows() -> None:
    assert context_of_sample({"reduce": "mean"}, 3) == {"reduce": "mean"}


@pytest.mark.parametrize("context", [{"grid": (2, 2)}, {"form": "table", "reduce": "each"}])
def test_pixels_and_rows_are_answered_together(context: dict[str, object]) -> None:
    assert context_of_sample(context, 0) is None
