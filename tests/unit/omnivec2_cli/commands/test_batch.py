from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet
import pytest

from tests.support.command_line import run
from tests.support.documents import ROOT
from tests.support.model_repositories.tiny_models import tiny_heads, write_repository

HEADS = [head for head in tiny_heads() if head.modality in ("text", "graph", "tabular")]


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_repository(tmp_path_factory.mktemp("repository"), HEADS)


@pytest.fixture(autouse=True)
def exact(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMNIVEC2_ENGINE", "onnxruntime")
    monkeypatch.setenv("OMNIVEC2_ENGINE_PRECISION", "fp32")
    monkeypatch.setenv("OMNIVEC2_ISOLATE_DECODERS", "false")


def batch(repository: Path, *arguments: object, text: str | None = None):
    options = ("--model-repo", repository, "--checkpoint", "none")
    return run("batch", *arguments, *options, text=text)


def test_a_folder_becomes_a_table(repository: Path, tmp_path: Path):
    out = tmp_path / "out.parquet"
    result = batch(repository, "graph/solubility", ROOT / "tests/data/graph", "--out", out)
    assert result.exit_code == 0, result.output
    rows = pyarrow.parquet.read_table(out).to_pylist()
    names = [(row["path"], row["row"]) for row in rows]
    assert ("two_molecules.sdf", 1) in names
    assert "README.md" not in {name for name, _ in names}
    assert "for their type: 1 (README.md" in result.stderr
    assert all(isinstance(row["log solubility"], float) for row in rows)


def test_rows_without_an_answer_are_an_exit_status_of_their_own(repository: Path, tmp_path: Path):
    table = tmp_path / "molecules.csv"
    table.write_text("id,smiles\na,CCO\nb,nothing\n")
    out = tmp_path / "out.jsonl"
    result = batch(repository, "graph/solubility", table, "--keep", "id", "-o", out, "--json")
    assert result.exit_code == 3, result.output
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert [row["id"] for row in rows] == ["a", "b"]
    assert rows[0]["error"] is None
    assert "SMILES" in rows[1]["error"]
    assert json.loads(result.stdout)["failed"] == 1


def test_answers_are_those_of_predict(repository: Path, tmp_path: Path):
    out = tmp_path / "out.jsonl"
    text = tmp_path / "a.txt"
    text.write_text("a moving film")
    batch(repository, "text/sentiment", "-", "--out", out, text="a moving film\n")
    options = ("--model-repo", repository, "--checkpoint", "none", "--json")
    [predicted] = json.loads(run("predict", "text/sentiment", text, *options).stdout)
    assert json.loads(out.read_text())["scores"] == predicted


def test_what_cannot_be_done_is_said_before_a_model_is_loaded(repository: Path, tmp_path: Path):
    for arguments, message in [
        (("sentiment", "x", "-o", "out.csv"), "expected heads"),
        (("text/sentiment", "nowhere", "-o", "out.csv"), "no such file"),
        (("text/sentiment", "-", "-o", "out.txt"), ".parquet"),
    ]:
        result = batch(tmp_path, *arguments, text="x")
        assert result.exit_code == 2
        assert message in result.stderr


def test_a_table_is_not_replaced_unless_asked(repository: Path, tmp_path: Path):
    out = tmp_path / "out.csv"
    arguments = ("text/sentiment", "-", "--out", out)
    assert batch(repository, *arguments, text="x").exit_code == 0
    assert batch(repository, *arguments, text="x").exit_code == 2
    assert batch(repository, *arguments, "--overwrite", text="x").exit_code == 0


def test_predict_of_a_folder_has_a_row_per_file(repository: Path, tmp_path: Path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "good.smi").write_text("CCO")
    (tmp_path / "bad.smi").write_text("nothing")
    options = ("--model-repo", repository, "--checkpoint", "none")
    result = run("predict", "graph/solubility", tmp_path, *options)
    assert result.exit_code == 3
    assert all(word in result.stdout for word in ("a/good.smi", "log solubility", "error"))
    result = run("predict", "graph/solubility", tmp_path, "--json", *options)
    good, bad = sorted(json.loads(result.stdout), key=lambda row: row["path"])
    assert good["path"] == "a/good.smi"
    assert good["answer"][0]["label"] == "log solubility"
    assert "SMILES" in bad["error"]
    one = run("predict", "graph/solubility", f"{tmp_path}/*/*.smi", *options)
    assert one.exit_code == 0
    assert "error" not in one.stdout
