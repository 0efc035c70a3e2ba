"""The gate files of the reference checkpoint: one per head, small, with answers that differ."""

from __future__ import annotations

import numpy as np
import pytest

from omnivec2.accuracy_gate import TOLERANCES, measure, read_gate
from omnivec2.checkpoint import read_checkpoint
from omnivec2.passport import GATE_FILE, load_passport
from omnivec2.spec import HeadSpec
from tests.support.documents import ROOT

CHECKPOINT = read_checkpoint(ROOT / "checkpoints" / "reference")


@pytest.mark.parametrize("head", CHECKPOINT.heads, ids=lambda head: head.route)
def test_every_head_has_a_gate_file_that_both_passports_vouch_for(head: HeadSpec) -> None:
    directory = CHECKPOINT.model_directory(head)
    gate = read_gate(directory / GATE_FILE, head)
    assert gate.rows >= 2
    assert gate.tolerance <= TOLERANCES[head.family]
    digests = {
        load_passport(directory / f).files[GATE_FILE] for f in ("passport.json", "ensemble.json")
    }
    assert len(digests) == 1
    # Answers to another input are not the answers.
    mixed = {name: np.roll(array, 1, axis=0) for name, array in gate.outputs.items()}
    assert measure(head, gate.outputs, mixed, gate.scales) > gate.tolerance


def test_all_gate_files_together_are_less_than_a_mebibyte() -> None:
    paths = [CHECKPOINT.model_directory(head) / GATE_FILE for head in CHECKPOINT.heads]
    assert sum(path.stat().st_size for path in paths) < 2**20
