from __future__ import annotations

import json
import pkgutil
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from omnivec2.checkpoint import write_checkpoint
from omnivec2_cli import commands
from omnivec2_cli.main import app
from omnivec2_cli.tables import brief
from tests.support.model_repositories.tiny_models import (
    classification,
    tiny_heads,
    write_repository,
)

COMMANDS = (
    *("serve", "predict", "batch", "models", "assemble"),
    *("train", "adapt", "align", "distill", "fit", "calibrate"),
    *("evaluate", "familiarity", "gap", "ablate"),
    *("export", "engines"),
    "data",
    *("head", "key", "push", "pull", "card"),
)
HEADS = [head for head in tiny_heads() if head.modality.value == "text"]


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_repository(tmp_path_factory.mktemp("repository"), HEADS)


@pytest.fixture
def review(tmp_path: Path) -> Path:
    path = tmp_path / "review.txt"
    path.write_text("a great film")
    return path


def run(*arguments: object, text: str | None = None):
    return CliRunner().invoke(app, [str(argument) for argument in arguments], input=text)


def predict(repository: Path, *arguments: object, text: str | None = None):
    options = ("--model-repo", repository, "--checkpoint", "none")
    return run("predict", *arguments, *options, text=text)


def test_help_lists_every_command() -> None:
    output = run("--help").stdout
    assert all(command in output for command in COMMANDS)


def test_every_command_has_a_module_of_its_own() -> None:
    found = pkgutil.walk_packages(commands.__path__, f"{commands.__name__}.")
    modules = {module.name.rpartition(".")[2] for module in found if not module.ispkg}
    assert modules == set(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_a_command_shows_an_example(command: str) -> None:
    assert f"omnivec2 {command}" in run(command, "--help").stdout


def test_help_imports_no_engine() -> None:
    code = (
        "import sys, omnivec2_cli.main; "
        "sys.exit(bool({'torch', 'onnxruntime', 'fastapi', 'pyarrow'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_prediction_is_a_table(repository: Path, review: Path) -> None:
    result = predict(repository, "text/sentiment", review)
    assert result.exit_code == 0, result.output
    assert all(word in result.stdout for word in ("label", "score", "positive", "negative"))


def test_a_prediction_as_json_is_the_response(repository: Path, review: Path) -> None:
    result = predict(repository, "text/sentiment", review, "--json")
    [rows] = json.loads(result.stdout)
    assert {row["label"] for row in rows} == {"positive", "negative"}


def test_every_file_gets_an_answer(repository: Path, review: Path) -> None:
    result = predict(repository, "text/sentiment", review, review, "--json")
    assert len(json.loads(result.stdout)) == 2


def test_standard_input_is_a_file_too(repository: Path) -> None:
    result = predict(repository, "text/sentiment", "-", "--json", text="a great film")
    assert result.exit_code == 0, result.output


def test_parameters_are_passed_on(repository: Path, review: Path) -> None:
    result = predict(repository, "text/sentiment", review, "--json", "-p", '{"top_k": 1}')
    assert len(json.loads(result.stdout)[0]) == 1


def test_notes_on_a_file_go_to_standard_error(repository: Path, review: Path) -> None:
    long = review.with_name("long.txt")
    long.write_text("a good film " * 400)
    result = predict(repository, "text/sentiment", review, long)
    assert result.exit_code == 0, result.output
    assert f"{long}: note: cut: inputs[1]: the text was cut" in result.stderr
    result = predict(repository, "text/sentiment", long, "--json")
    assert len(json.loads(result.stdout)[0]) == 2
    [note] = json.loads(result.stderr.splitlines()[-1])["notes"]
    assert note["code"] == "cut"
    assert "note" not in predict(repository, "text/sentiment", review).stderr


def test_a_strict_prediction_fails_where_there_are_notes(repository: Path, review: Path) -> None:
    assert predict(repository, "text/sentiment", review, "--strict").exit_code == 0
    result = predict(repository, "text/sentiment", "-", "--strict", text="word " * 600)
    assert result.exit_code == 2
    assert "strict" in result.stderr
    assert "tokens" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "message", "code"),
    [
        (("text/sentiment", "missing.txt"), "missing.txt", 2),
        (("text/sentiment", "-", "-p", "{"), "not JSON", 2),
        (("text/sentiment", "-", "-p", "[]"), "object", 2),
        (("text/sentiment", "-", "-p", '{"topk": 1}'), "topk", 2),
        (("text/nonsense", "-"), "text/nonsense", 1),
        (("text/sentiment", "-", "--url", "http://127.0.0.1:9"), "does it run", 1),
    ],
)
def test_an_error_is_reported_in_one_line(
    repository: Path, arguments: tuple[str, ...], message: str, code: int
) -> None:
    result = predict(repository, *arguments, text="a film")
    assert result.exit_code == code
    assert message in result.stderr
    assert result.stderr.strip().count("\n") == 0
    assert "Traceback" not in result.output


def test_serving_on_a_taken_port_says_what_to_do(repository: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        options = ("--model-repo", repository, "--checkpoint", "none")
        result = run("serve", "--port", port, *options)
    assert result.exit_code == 1
    assert "--port" in result.stderr


def test_serving_from_triton_assembles_no_repository(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        options = ("--model-repo", tmp_path / "repo", "--triton", "127.0.0.1:9,127.0.0.1:10")
        result = run("serve", "--port", port, *options)
    assert "connecting to Triton at 127.0.0.1:9, 127.0.0.1:10" in result.stderr
    assert "--port" in result.stderr
    assert not (tmp_path / "repo").exists()


def test_serving_without_a_checkpoint_says_what_is_missing(tmp_path: Path) -> None:
    result = run("serve", "--checkpoint", tmp_path / "none", "--model-repo", tmp_path / "repo")
    assert result.exit_code == 1
    assert "none" in result.stderr


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    head = classification("text/sentiment", "negative", "positive")
    weights = {"a": np.zeros(3, np.float32)}
    write_checkpoint(tmp_path / "first", config={}, tensors=weights, heads=[head])
    return tmp_path / "first"


def test_models_lists_heads_with_figures_and_licences(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    output = run("models", "--checkpoint", checkpoint).stdout
    assert all(word in output for word in ("text/sentiment", "0.5", "CC0"))


def test_models_as_json_are_head_specs(checkpoint: Path) -> None:
    [head] = json.loads(run("models", "--checkpoint", checkpoint, "--json").stdout)
    assert head["labels"] == ["negative", "positive"]


def test_a_missing_library_is_named_with_the_extra_that_brings_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "export.export_run", None)
    result = run("export")
    assert result.exit_code == 1
    assert "export" in result.stderr


def test_long_values_are_cut() -> None:
    assert brief(0.123456) == "0.1235"
    assert len(brief("x" * 500)) == 100
