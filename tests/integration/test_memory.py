"""What the models take of memory, measured in processes of their own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.support.documents import ROOT

# Bytes of the embedding of 30,522 word pieces, 384 wide: of all tensors the largest.
WORDS_BYTES = 30_522 * 384 * 4


def test_all_heads_of_the_shared_layout_take_little_more_than_their_weights_once(
    tmp_path: Path,
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "loadtests.memory", "--quick", "--reports", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (report,) = tmp_path.glob("memory_*.json")
    (row,) = json.loads(report.read_text())["rows"]
    assert row["heads"] == 30
    assert row["weights_bytes"] > WORDS_BYTES
    # Less than the weights once cannot be: something would not have been loaded.
    assert 1.0 < row["ratio"] <= 1.3
