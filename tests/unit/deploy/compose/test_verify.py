"""The verification says what failed, and never passes because it could not look."""

from __future__ import annotations

import sys

import pytest

from deploy.compose import container_engine, verify
from deploy.compose.container_engine import VerifyError


def test_a_machine_without_an_engine_is_a_failure(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv(verify.SKIP, raising=False)
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr(container_engine, "_find", lambda _: None)
    monkeypatch.setattr(sys, "argv", ["verify"])
    assert verify.main() == 1
    assert capsys.readouterr().out.startswith("FAIL")


def test_it_is_skipped_only_if_told_so_and_says_that(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(verify.SKIP, "1")
    monkeypatch.setattr(sys, "argv", ["verify"])
    assert verify.main() == 0
    assert capsys.readouterr().out.startswith("SKIPPED")


def test_a_program_that_takes_too_long_is_ended() -> None:
    with pytest.raises(VerifyError, match=r"more than 0 s"):
        container_engine.run(["sleep", "60"], seconds=0.1)


def test_a_program_that_fails_is_quoted() -> None:
    with pytest.raises(VerifyError, match="ended with 3: the reason"):
        container_engine.run(["sh", "-c", "echo the reason >&2; exit 3"])
