"""The sessions of docs/python.md run as they are printed there."""

from __future__ import annotations

import doctest
import re

import pytest

from tests.support.documents import ADDRESS, ROOT
from tests.support.gateways.servers import EXACT

DOCUMENT = ROOT / "docs" / "python.md"
_SESSION = re.compile(r"^```pycon\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def test_the_sessions_of_the_page_on_python_run(
    reference_server: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """All blocks are one session, so that a model is loaded once."""
    monkeypatch.chdir(ROOT)
    for name, value in EXACT.items():
        monkeypatch.setenv(name, value)
    text = "\n".join(_SESSION.findall(DOCUMENT.read_text())).replace(ADDRESS, reference_server)
    session = doctest.DocTestParser().get_doctest(text, {}, DOCUMENT.name, str(DOCUMENT), 0)
    assert len(session.examples) > 30
    options = doctest.ELLIPSIS
    results = doctest.DocTestRunner(optionflags=options).run(session)
    assert results.failed == 0, capsys.readouterr().out
