"""The training references that ship belong to the trunk and the tokenizers that ship."""

from __future__ import annotations

import pytest

from export.exported_checkpoint import read_exported_checkpoint
from omnivec2.familiarity import REFERENCE_FILE, Familiarity
from omnivec2.spec import HeadSpec
from tests.support.documents import ROOT

SOURCE = read_exported_checkpoint(ROOT / "checkpoints" / "reference")
KNOWING = [
    head
    for head in SOURCE.heads
    if (SOURCE.checkpoint.model_directory(head) / REFERENCE_FILE).exists()
]
MOST_BYTES = 20_000


def test_heads_know_their_training_data() -> None:
    assert len(KNOWING) >= 15


@pytest.mark.parametrize("head", KNOWING, ids=lambda head: head.name)
def test_a_reference_is_of_the_parts_that_ship_and_small(head: HeadSpec) -> None:
    reference = SOURCE.training_reference(head, SOURCE.ensemble_passport(head))
    assert reference is not None, f"run `omnivec2 familiarity {head.route}`"
    assert Familiarity(reference).summaries == ("f_input_mean", "f_mean")
    assert reference.inside >= 0.99
    assert (SOURCE.checkpoint.model_directory(head) / REFERENCE_FILE).stat().st_size < MOST_BYTES
