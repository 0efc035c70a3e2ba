"""Answering files from the command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from omnivec2.errors import InputError
from service.pipeline.in_process.named_files import NamedFile, message_with_file_name
from service.pipeline.in_process.predict_in_process import predict_in_process
from service.settings import Settings
from tests.support.model_repositories.tiny_models import tiny_heads, write_repository


def test_of_several_files_the_wrong_one_is_named(tmp_path: Path) -> None:
    head = next(head for head in tiny_heads() if head.route == "text/sentiment")
    settings = Settings(model_repo=write_repository(tmp_path, [head]))
    files = [NamedFile("good.txt", b"a good film"), NamedFile("empty.txt", b"")]
    with pytest.raises(InputError, match=r"^empty\.txt: "):
        predict_in_process(settings, head.route, files, {})


def test_a_message_names_a_file_only_if_its_field_is_one() -> None:
    files = [NamedFile("a.txt", b""), NamedFile("b.txt", b"")]
    assert message_with_file_name("wrong", "inputs[1].width", files) == "b.txt: wrong"
    for field in (None, "parameters.top_k", "inputs", "inputs[7]"):
        assert message_with_file_name("wrong", field, files) == "wrong"


def test_a_file_of_several_molecules_gets_an_answer_each_and_names_the_wrong_one(
    tmp_path: Path,
) -> None:
    head = next(head for head in tiny_heads() if head.route == "graph/solubility")
    settings = Settings(model_repo=write_repository(tmp_path, [head]))
    answer = predict_in_process(settings, head.route, [NamedFile("all.smi", b"CCO\nC\n")], {}).value
    assert isinstance(answer, list)
    assert len(answer) == 2
    with pytest.raises(InputError, match=r"^all\.smi \(part 2\): "):
        predict_in_process(settings, head.route, [NamedFile("all.smi", b"CCO\nC(\n")], {})
