"""Texts that embeddings are distilled on."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from omnivec2.spec import DataSource
from omnivec2.training.data.base import DataDirectories
from omnivec2.training.distillation import unlabelled_inputs
from omnivec2.training.distillation.unlabelled_inputs import TextFile, texts

SOURCE = DataSource(name="made up", licence="none")


@pytest.fixture
def at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DataDirectories:
    """A data directory with captions, a table without names, and pairs that are measured on."""
    files = {
        "captions.jsonl.gz": "".join(
            json.dumps({"captions": [f"A dog {n}.", f"A cat {n}."]}) + "\n" for n in range(4)
        ),
        "plain.tsv.gz": "id\tx\tWhat is a name?\n" + "".join(f"{n}\tx\tQ {n}\n" for n in range(3)),
        "text_stsb/dev.jsonl.gz": json.dumps({"s1": "a DOG 2", "s2": "Q 1!", "score": 1.0}) + "\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(gzip.compress(text.encode()))
    monkeypatch.setattr(unlabelled_inputs, "TEXTS", (
        TextFile("captions.jsonl.gz", ("captions",), 100, SOURCE),
        TextFile("plain.tsv.gz", (2,), 100, SOURCE),
    ))  # fmt: skip
    return DataDirectories(tmp_path, tmp_path)


def test_texts_that_embeddings_are_measured_on_are_left_out(at: DataDirectories) -> None:
    found = list(texts(at, 0))
    assert set(found) == {
        "A dog 0.", "A dog 1.", "A dog 3.", "A cat 0.", "A cat 1.", "A cat 2.", "A cat 3.",
        "Q 0", "Q 2",
    }  # fmt: skip
    assert list(texts(at, 0)) == found != list(texts(at, 1))
