"""Parts of answers on a terminal."""

from __future__ import annotations

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from omnivec2_cli.main import app
from omnivec2_cli.predicting.part_printer import PartPrinter
from service.request_context import PartAnswer
from tests.support.model_repositories.tiny_models import tiny_heads, write_repository


def token(text: str, index: int, of_input: int = 0) -> PartAnswer:
    return PartAnswer("token", "summarization", of_input, index, None, {"summary_text": text})


def test_a_text_is_written_on_and_begun_again_if_the_search_changed_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    show = PartPrinter(["a.txt", "b.txt"], as_json=False)
    for index, text in enumerate(("A", "A new", "A new bridge", "Another")):
        show(token(text, index))
    show(token("Next", 0, of_input=1))
    show.finish()
    out, err = capsys.readouterr()
    assert (out, err) == ("", "A new bridge\nAnother\nNext\n")


def test_windows_are_a_line_each_with_the_name_of_their_file(
    capsys: pytest.CaptureFixture[str],
) -> None:
    show = PartPrinter(["a.wav"], as_json=False)
    show(PartAnswer("window", "events", 0, 2, 12, [{"label": "rain", "score": 0.5}]))
    show.finish()
    assert capsys.readouterr().err == 'a.wav 3/12: [{"label": "rain", "score": 0.5}]\n'


def test_the_command_shows_windows_before_the_answer(tmp_path) -> None:
    heads = [head for head in tiny_heads() if head.modality.value == "imu"][:1]
    repository = write_repository(tmp_path / "repository", heads)
    signal = tmp_path / "walk.json"
    columns = np.linspace(-1, 1, 200 * 9).reshape(200, 9)
    signal.write_text(json.dumps(columns.tolist()))
    options = ["--model-repo", str(repository), "--checkpoint", "none", "--stream"]

    def run(*more: str):
        words = ["predict", heads[0].route, str(signal), *options, *more]
        result = CliRunner().invoke(app, words)
        assert result.exit_code == 0, result.output
        return result

    *windows, last = map(json.loads, run("--json").stdout.splitlines())
    assert [window["index"] for window in windows] == list(range(windows[0]["count"]))
    assert len(windows) > 1
    assert last["event"] == "answer"
    shown = run()
    assert f"1/{len(windows)}: " in shown.stderr
    refused = CliRunner().invoke(app, ["predict", heads[0].route, str(tmp_path), *options])
    assert refused.exit_code != 0
    assert "--stream takes files" in refused.output
