from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from deploy.triton import run_server


def command(*words: str) -> list[str]:
    return run_server.command(run_server.parse(words))


def test_every_port_is_on_loopback_unless_told_otherwise() -> None:
    addresses = [word for word in command() if "-address=" in word]
    assert addresses == [f"--{port}-address=127.0.0.1" for port in ("http", "grpc", "metrics")]


def test_models_cannot_be_loaded_from_outside_unless_told_otherwise() -> None:
    assert "--model-control-mode=none" in command()


def test_explicit_mode_loads_all_models_at_the_start_or_only_the_named_ones() -> None:
    everything = command("--model-control-mode", "explicit")
    assert [word for word in everything if word.startswith("--load")] == ["--load-model=*"]
    two = command("--model-control-mode", "explicit", "--load-model", "a", "--load-model", "b")
    assert [word for word in two if word.startswith("--load")] == [
        "--load-model=a",
        "--load-model=b",
    ]


def test_naming_models_without_explicit_mode_is_refused(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit):
        run_server.parse(["--load-model", "a"])
    assert "--load-model needs --model-control-mode explicit" in capsys.readouterr().err


def test_a_bad_model_neither_ends_the_server_nor_makes_it_unready_for_ever() -> None:
    assert {"--exit-on-error=false", "--strict-readiness=false"} <= set(command())
    assert "--strict-readiness=true" in command("--strict-readiness")


def test_what_follows_two_dashes_goes_to_tritonserver() -> None:
    assert command("--http-port", "1", "--", "--log-verbose=1")[-1] == "--log-verbose=1"


def test_the_backend_sees_its_own_packages_only(tmp_path: Path) -> None:
    inherited = {"PYTHONPATH": "/elsewhere", "PATH": "/bin", "HOME": "/home/me"}
    variables = run_server.variables(tmp_path, inherited)
    assert "PYTHONPATH" not in variables
    assert variables["PATH"] == f"{tmp_path / 'bin'}:/bin"
    assert variables["VIRTUAL_ENV"] == str(tmp_path)
    assert variables["HOME"] == "/home/me"


def run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, run_server.__file__, *words], capture_output=True, text=True, check=False
    )


def test_a_missing_server_says_how_to_install_it(tmp_path: Path) -> None:
    ended = run("--environment", str(tmp_path), "--model-repo", str(tmp_path))
    assert ended.returncode == 1
    assert "run `make triton-install` first" in ended.stderr


def test_a_missing_repository_says_what_makes_it(tmp_path: Path) -> None:
    server = tmp_path / "server" / "pytriton" / "tritonserver" / "bin" / "tritonserver"
    server.parent.mkdir(parents=True)
    server.touch()
    ended = run("--environment", str(tmp_path), "--model-repo", str(tmp_path / "none"))
    assert ended.returncode == 1
    assert "`make triton` assembles it" in ended.stderr
