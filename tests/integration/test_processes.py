"""A step in several processes, or in several parts, is the step in one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.support.documents import ROOT


def _gradients(out: Path, processes: int, accumulation: int) -> dict[str, torch.Tensor]:
    """Of one supervised step with gates open, by name; losses among them."""
    command = [sys.executable]
    if processes > 1:
        command += ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    # As a module: a script's own folder would hide packages of the same names as its neighbours.
    command += ["-m", "tests.support.two_processes", str(out), str(accumulation), str(processes)]
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": path}
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=280, check=False
    )
    assert done.returncode == 0, done.stderr
    return load_file(out)


@pytest.mark.parametrize(("processes", "accumulation"), [(2, 1), (2, 2)])
def test_gradients_are_those_of_one_process_and_one_part(
    tmp_path: Path, processes: int, accumulation: int
) -> None:
    expected = _gradients(tmp_path / "one.safetensors", 1, 1)
    found = _gradients(tmp_path / "many.safetensors", processes, accumulation)
    assert any(name.startswith("network.fusion") for name in expected)
    assert found.keys() >= expected.keys()
    for name, value in expected.items():
        assert torch.allclose(found[name], value, rtol=1e-4, atol=1e-6), name
