from __future__ import annotations

from pathlib import Path

import pytest

from omnivec2.errors import ArtifactError
from omnivec2.model_config import model_directories
from omnivec2_api.repository_cache import find_repository
from tests.support.documents import ROOT
from tests.support.model_repositories.tiny_models import tiny_heads, write_repository


def test_a_model_repository_is_taken_as_it_is(tmp_path: Path):
    heads = [head for head in tiny_heads() if head.route == "graph/solubility"]
    root = write_repository(tmp_path, heads)
    assert find_repository(root, Path("nowhere")) == root


def test_a_directory_that_is_neither_is_refused(tmp_path: Path):
    with pytest.raises(ArtifactError, match="neither a checkpoint nor a model repository"):
        find_repository(tmp_path, Path("nowhere"))


def test_a_checkpoint_has_one_repository_per_layout(monkeypatch, tmp_path: Path):
    written = []

    def assemble(checkpoint, out, layout):
        written.append((checkpoint, out, layout))

    monkeypatch.setattr("export.repository.assembly.assemble", assemble)
    checkpoint = ROOT / "checkpoints" / "reference"
    first = find_repository(checkpoint, tmp_path)
    assert find_repository(checkpoint, tmp_path) == first
    fused = find_repository(checkpoint, tmp_path, "fused")
    assert fused.name == f"{first.name}-fused"
    assert first.is_relative_to(tmp_path)
    assert [str(layout) for _, _, layout in written] == ["None", "None", "fused"]
    assert not model_directories(first)
