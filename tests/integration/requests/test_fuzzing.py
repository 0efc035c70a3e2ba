"""``make fuzz`` finds what is wrong; that nothing is, continuous integration asks by itself."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.documents import ROOT
from tests.support.gateways.altered_gateway import altered_gateway
from tests.support.model_repositories.tiny_models import tiny_heads, write_repository


def fuzz(*options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "loadtests.fuzz", "--seed", "20261122", *options]
    return subprocess.run(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )


@pytest.mark.parametrize(
    ("fault", "code"), [("a bare 500", "ST101"), ("an undocumented answer", "ST108")]
)
def test_a_fault_is_found(fault: str, code: str, tmp_path: Path) -> None:
    repository = write_repository(
        tmp_path, [h for h in tiny_heads() if h.route == "text/sentiment"]
    )
    with altered_gateway(repository, fault=fault) as url:
        done = fuzz("--seconds", "5", "--url", url)
    assert done.returncode == 1, done.stdout[-8000:]
    assert code in done.stdout
