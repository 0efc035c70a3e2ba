"""Answering files from the command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from omnivec2.errors import InputError
from service.pipeline.predict_files import NamedFile, predict_here
from service.settings import Settings
from tests.support.tiny_models import tiny_heads, write_repository


def test_of_several_files_the_wrong_one_is_named(tmp_path: Path) -> None:
    head = next(head for head in tiny_heads() if head.route == "text/sentiment")
    settings = Settings(model_repo=write_repository(tmp_path, [head]))
    files = [NamedFile("good.txt", b"a good film"), NamedFile("empty.txt", b"")]
    with pytest.raises(InputError, match=r"^empty\.txt: "):
        predict_here(settings, head.route, files, {})
