"""What a stranger's manifest may name."""

from __future__ import annotations

import json

import pytest

from omnivec2.errors import CheckpointError
from omnivec2.sharing.manifest import Manifest, SharedFile, parse_manifest, refusal_of

DIGEST = "0" * 64


def manifest_of(*paths: str, **fields: object) -> bytes:
    files = [{"path": path, "bytes": 1, "sha256": DIGEST, **fields} for path in paths]
    return json.dumps({"schema_version": 1, "files": files}).encode()


@pytest.mark.parametrize(
    "path",
    [
        *("../weights.safetensors", "models/../../x.json", "/etc/x.json", "models//x.json"),
        *("C:/x.json", "models\\..\\x.json", "./x.json", "models/./x.json", "~/x.json"),
        *(".hidden.json", "models/.git/config.json", "x.json ", "x.json\n", "x\x00.json", ""),
        *("models/x.json/", "a/b/c/d/e/f.json", f"{'a' * 300}.json", "models/x..json/../y.json"),
        *("weights.pkl", "weights.pt", "model.bin", "run.py", "setup", "x.json.pickle"),
        "manifest.json",
    ],
)
def test_a_path_that_no_checkpoint_has_is_refused(path: str) -> None:
    assert refusal_of(path)
    with pytest.raises(CheckpointError, match=r"there: manifest\.json: files\.0\.path"):
        parse_manifest(manifest_of(path), "there")


@pytest.mark.parametrize(
    "path",
    ["config.json", "weights.safetensors", "models/text_sentiment/model.onnx", "README.md"],
)
def test_the_files_of_a_checkpoint_may_be_listed(path: str) -> None:
    assert refusal_of(path) == ""


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "JSON"),
        (b"[]", "object"),
        (b'{"files": []}', "at least 1"),
        (manifest_of("config.json", "CONFIG.json"), "twice"),
        (manifest_of("models.json", "models.json/x.json"), "folder"),
        (manifest_of("config.json", sha256="abc"), "pattern"),
        (manifest_of("config.json", bytes=-1), "greater"),
        (manifest_of("config.json", mode=0o777), "not permitted"),
        (b'{"schema_version": 2, "files": [{}]}', "1"),
    ],
)
def test_a_manifest_that_is_none_is_refused(data: bytes, words: str) -> None:
    with pytest.raises(CheckpointError, match=words):
        parse_manifest(data, "there")


def test_a_manifest_is_read_as_it_was_written() -> None:
    file = SharedFile(path="config.json", bytes=3, sha256=DIGEST)
    manifest = Manifest(files=(file,))
    assert parse_manifest(manifest.to_json(), "there") == manifest
    assert manifest.total_bytes == 3
