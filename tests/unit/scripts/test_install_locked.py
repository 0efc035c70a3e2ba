"""Lock files are installed with uv and pip's settings, or else by pip."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from scripts import install_locked
from scripts.install_locked import UnknownSettingError, read_settings, translate

LISTED = """\
global.cert='/etc/ssl/certs/own.crt'
global.constraint='/etc/pip/constraints.txt'
global.extra-index-url='https://one.example/simple https://two.example/simple'
global.find-links='/wheels'
install.no-index='true'
:env:.find-links='/other wheels.example/'
:env:.progress-bar='off'""".splitlines()


def test_a_variable_counts_more_than_a_file() -> None:
    assert read_settings(LISTED)["find-links"] == "/other wheels.example/"
    assert read_settings(LISTED[::-1])["find-links"] == "/other wheels.example/"


def test_settings_become_options_and_variables_of_uv() -> None:
    options, variables = translate(read_settings(LISTED))
    assert " ".join(options) == (
        "--constraints /etc/pip/constraints.txt --index https://one.example/simple "
        "--index https://two.example/simple --find-links /other --find-links wheels.example/ "
        "--no-index"
    )
    assert variables == {"SSL_CERT_FILE": "/etc/ssl/certs/own.crt"}


def test_a_setting_without_a_counterpart_is_named() -> None:
    with pytest.raises(UnknownSettingError, match="pip's client-cert"):
        translate({"client-cert": "/own.pem"})


class Programs:
    """What would have been run instead of uv and pip.

    Attributes:
        commands: The commands, in order.
    """

    def __init__(self, settings: str = "", uv_status: int = 0) -> None:
        self.commands: list[list[str]] = []
        self._settings, self._uv_status = settings, uv_status

    def run(self, command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        self.commands.append(command)
        if command[0] == str(install_locked.UV):
            return subprocess.CompletedProcess(command, self._uv_status)
        return subprocess.CompletedProcess(command, 0, stdout=self._settings)


def install(monkeypatch: pytest.MonkeyPatch, programs: Programs, *words: str) -> int:
    monkeypatch.setattr(subprocess, "run", programs.run)
    monkeypatch.setattr(sys, "argv", ["install_locked.py", *words])
    return install_locked.main()


def test_uv_installs_into_the_environment_of_this_python(monkeypatch: pytest.MonkeyPatch) -> None:
    programs = Programs("global.find-links='/wheels'")
    assert install(monkeypatch, programs, "-r", "some.lock") == 0
    _, uv = programs.commands
    assert uv[uv.index("--python") + 1] == sys.executable
    assert uv[-4:] == ["--find-links", "/wheels", "-r", "some.lock"]
    assert "--no-deps" in uv


def test_constraints_do_not_stand_in_the_way_of_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    programs = Programs("global.constraint='/constraints.txt'")
    install(monkeypatch, programs, "-r", "some.lock")
    install(monkeypatch, programs, "--require-hashes", "-r", "some.lock")
    assert ["--constraints" in command for command in programs.commands[1::2]] == [True, False]


@pytest.mark.parametrize(
    ("programs", "reason"),
    [
        (Programs(uv_status=2), "uv failed"),
        (Programs("global.client-cert='/own.pem'"), "client-cert"),
    ],
    ids=["uv fails", "an unknown setting"],
)
def test_pip_installs_the_same_and_says_why(
    programs: Programs,
    reason: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert install(monkeypatch, programs, "--require-hashes", "-r", "some.lock") == 0
    pip = programs.commands[-1]
    assert pip[:4] == [sys.executable, "-m", "pip", "install"]
    assert pip[-4:] == ["--no-deps", "--require-hashes", "-r", "some.lock"]
    assert reason in capsys.readouterr().err


def test_without_uv_pip_installs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(install_locked, "UV", tmp_path / "uv")
    lock = tmp_path / "empty.lock"
    lock.write_text("")
    monkeypatch.setattr(sys, "argv", ["install_locked.py", "-r", str(lock)])
    assert install_locked.main() == 0
    assert "pip installs, which takes longer: uv is not installed" in capsys.readouterr().err
