from __future__ import annotations

import datetime
import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest

from omnivec2.errors import PassportError
from omnivec2.passport import (
    PARITY_TOLERANCES,
    ParityEntry,
    Passport,
    load_passport,
    verify_passport,
)
from tests.support.model_repositories.tiny_models import classification
from tests.support.networks.writing import writing_network


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.fixture
def version(tmp_path: Path) -> Path:
    (tmp_path / "model.onnx").write_bytes(b"graph")
    (tmp_path / "weights.safetensors").write_bytes(b"weights")
    passport = Passport(
        model="imu_activity",
        exporter="test",
        opset=20,
        versions={"torch": "2.13.0"},
        precision="fp32",
        checkpoint_digest=sha256(b"weights"),
        files={"model.onnx": sha256(b"graph"), "weights.safetensors": sha256(b"weights")},
        tolerance=1e-4,
        parity=(
            ParityEntry(batch_size=1, worst_output="logits", max_relative_error=2e-7),
            ParityEntry(batch_size=8, worst_output="logits", max_relative_error=5e-7),
        ),
        created=datetime.date(2026, 1, 2),
    )
    (tmp_path / "passport.json").write_text(passport.model_dump_json())
    return tmp_path


def change(version: Path, **fields: Any) -> None:
    path = version / "passport.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def test_untouched_files_pass(version: Path) -> None:
    passport = verify_passport(version)
    assert passport.model == "imu_activity"
    assert passport.max_relative_error == 5e-7


@pytest.mark.parametrize("name", ["model.onnx", "weights.safetensors"])
def test_an_altered_file_is_refused_by_name(version: Path, name: str) -> None:
    verify_passport(version)
    (version / name).write_bytes(b"other content")
    with pytest.raises(PassportError, match=name):
        verify_passport(version)


@pytest.mark.parametrize("name", ["model.onnx", "weights.safetensors", "passport.json"])
def test_a_missing_file_is_refused_by_name(version: Path, name: str) -> None:
    (version / name).unlink()
    with pytest.raises(PassportError, match=name):
        verify_passport(version)


def test_weights_of_another_checkpoint_are_refused(version: Path) -> None:
    change(version, checkpoint_digest="0" * 64)
    with pytest.raises(PassportError, match="not of the checkpoint"):
        verify_passport(version)


def test_a_passport_that_leaves_the_graph_out_is_refused(version: Path) -> None:
    change(version, files={"weights.safetensors": sha256(b"weights")})
    with pytest.raises(PassportError, match=r"vouch for model\.onnx"):
        verify_passport(version)


def test_recorded_parity_worse_than_its_tolerance_is_refused(version: Path) -> None:
    change(
        version,
        parity=[{"batch_size": 1, "worst_output": "logits", "max_relative_error": 0.5}],
    )
    with pytest.raises(PassportError, match="over its tolerance"):
        verify_passport(version)


def test_a_tolerance_widened_to_fit_is_refused(version: Path) -> None:
    change(version, tolerance=1.0)
    with pytest.raises(PassportError, match=r"fp32 allows 0\.0001"):
        verify_passport(version)


def test_each_precision_has_its_own_tolerance(version: Path) -> None:
    parity = [{"batch_size": 1, "worst_output": "logits", "max_relative_error": 5e-3}]
    change(version, precision="fp16", tolerance=PARITY_TOLERANCES["fp16"], parity=parity)
    verify_passport(version)
    change(version, tolerance=PARITY_TOLERANCES["bf16"])
    with pytest.raises(PassportError, match="fp16 allows"):
        verify_passport(version)


def test_a_passport_from_before_there_were_plans_is_of_an_onnx_graph(version: Path) -> None:
    passport = load_passport(version / "passport.json")
    assert (passport.engine, passport.gpu, passport.layer_precisions) == ("onnx", "", {})


@pytest.mark.parametrize(
    "fields",
    [
        {"files": {"../../etc/passwd": "0" * 64}},
        {"files": {"model.onnx": "short"}},
        {"parity": []},
        {"opset": "twenty"},
        {"surprise": 1},
    ],
    ids=["path outside", "no digest", "no parity", "wrong type", "unknown field"],
)
def test_a_malformed_passport_is_refused(version: Path, fields: dict[str, Any]) -> None:
    change(version, **fields)
    with pytest.raises(PassportError, match="not a passport"):
        load_passport(version / "passport.json")


@pytest.mark.parametrize("content", [b"", b"null", b"{", b"\xff"])
def test_bytes_that_are_no_passport_are_refused(version: Path, content: bytes) -> None:
    (version / "passport.json").write_bytes(content)
    with pytest.raises(PassportError, match=r"passport\.json: not a passport"):
        load_passport(version / "passport.json")


def test_a_file_linked_into_many_models_is_read_once(
    version: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    verify_passport(version)
    read: list[str] = []
    real = hashlib.file_digest

    def counting(file: Any, name: str) -> Any:
        read.append(file.name)
        return real(file, name)

    monkeypatch.setattr(hashlib, "file_digest", counting)
    other = version / "other"
    other.mkdir()
    for name in ("model.onnx", "weights.safetensors", "passport.json"):
        os.link(version / name, other / name)
    verify_passport(other)
    assert read == []


def test_a_heads_dependencies_are_its_parts_and_its_decoder(version: Path) -> None:
    plain = classification("text/topic", "a", "b")
    _, writing = writing_network()
    [writer] = [head for head in writing if head.generation is not None]
    assert writer.generation is not None
    parts = {"trunk": sha256(b"trunk"), "head_text_topic": sha256(b"head")}
    passport = load_passport(version / "passport.json").model_copy(
        update={"parts": parts, "decoder": sha256(b"decoder")}
    )
    assert passport.dependencies(plain) == parts
    wanted = {**parts, writer.generation.decoder: sha256(b"decoder")}
    assert list(passport.dependencies(writer).items()) == list(wanted.items())
