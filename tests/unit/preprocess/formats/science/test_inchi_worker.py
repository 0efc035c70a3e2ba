from __future__ import annotations

import io
import resource
import sys
from types import SimpleNamespace

import pytest

from omnivec2.preprocess.formats.science import inchi_worker


@pytest.fixture
def limits(monkeypatch: pytest.MonkeyPatch) -> dict[int, tuple[int, int]]:
    found: dict[int, tuple[int, int]] = {}
    monkeypatch.setattr(resource, "setrlimit", found.__setitem__)  # not those of the tests
    return found


def run(monkeypatch: pytest.MonkeyPatch, text: str) -> str:
    out = io.StringIO()
    stdin = SimpleNamespace(buffer=io.BytesIO(text.encode()))
    monkeypatch.setattr(sys, "stdin", stdin)
    monkeypatch.setattr(sys, "stdout", out)
    inchi_worker.main()
    return out.getvalue()


def test_an_inchi_becomes_smiles_within_limits(
    monkeypatch: pytest.MonkeyPatch, limits: dict[int, tuple[int, int]]
) -> None:
    assert run(monkeypatch, "InChI=1S/C2H6O/c1-2-3/h3H,2H2,1H3") == "CCO"
    assert limits[resource.RLIMIT_AS] == (2 * 2**30, 2 * 2**30)
    assert limits[resource.RLIMIT_CPU] == (5, 5)


def test_what_is_no_inchi_ends_the_program(
    monkeypatch: pytest.MonkeyPatch, limits: dict[int, tuple[int, int]]
) -> None:
    with pytest.raises(SystemExit) as caught:
        run(monkeypatch, "InChI=1S/nothing")
    assert caught.value.code == 1
    assert limits
