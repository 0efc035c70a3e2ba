"""What the command line's tables show."""

from __future__ import annotations

import io

import pytest
from pydantic import JsonValue
from rich.console import Console
from rich.table import Table

from omnivec2_cli.tables import (
    brief,
    deployed_table,
    engines_table,
    heads_table,
    keys_table,
    print_answers,
)
from service.runtimes.embedded.engine_choice.engine_report import EngineReport, OptionReport
from tests.support.model_repositories.tiny_models import classification, tiny_heads


def console() -> tuple[Console, io.StringIO]:
    text = io.StringIO()
    return Console(file=text, width=250), text


def cells(table: Table) -> list[list[str]]:
    """Return the rows of a printed table."""
    printer, text = console()
    printer.print(table)
    lines = [line for line in text.getvalue().splitlines() if line.startswith("│")]
    return [[cell.strip() for cell in line.split("│")[1:-1]] for line in lines]


def printed(names: list[str], answer: JsonValue) -> str:
    printer, text = console()
    print_answers(printer, names, answer)
    return text.getvalue()


def test_brackets_of_an_answer_are_shown_and_its_name_is_not_wrapped() -> None:
    name = "a/long/name/of/a/file/[1].txt"
    text = printed([name], [{"summary_text": "[laughs] A [b]good[/b] film [/x] :smile:"}])
    assert name in text
    assert "[laughs] A [b]good[/b] film [/x] :smile:" in text


def test_a_head_is_shown_with_its_size_first_metric_and_licences() -> None:
    head = classification("text/topic", "a", "b", "c")
    [row] = cells(heads_table("heads", [head.model_copy(update={"experimental": True})]))
    assert row[0] == "text/topic (experimental)"
    [row] = cells(heads_table("heads", [head]))
    assert row == [
        *("text/topic", "classification", "3", "accuracy 0.5"),
        *("made up (10)", "made up: CC0-1.0"),
    ]


def test_a_head_that_predicts_numbers_is_counted_by_its_targets() -> None:
    heads = {head.route: head for head in tiny_heads()}
    rows = cells(heads_table("heads", [heads["graph/solubility"], heads["text/embedding"]]))
    assert [row[2] for row in rows] == ["1", "-"]


def test_a_head_that_was_never_measured_and_names_no_data_is_shown_with_dashes() -> None:
    bare = classification("text/topic", "a").model_copy(update={"metrics": (), "data": ()})
    [row] = cells(heads_table("heads", [bare]))
    assert row[3:] == ["-", "-", "-"]


@pytest.mark.parametrize(
    ("parts", "shown"),
    [({"trunk": 1, "head_text_topic": 3}, "trunk 1, head_text_topic 3"), ({}, "in one piece")],
)
def test_a_served_head_is_shown_with_the_versions_of_its_parts(
    parts: dict[str, JsonValue], shown: str
) -> None:
    row: dict[str, JsonValue] = {
        "route": "text/topic",
        "version": 3,
        "parts": parts,
        "precision": "fp16",
        "max_relative_error": 0.00123,
        "checkpoint": "abc",
    }
    assert cells(deployed_table("models", [row])) == [
        ["text/topic", "3", shown, "fp16", "1e-03", "abc"]
    ]


def test_a_limit_that_a_key_does_not_have_is_a_dash() -> None:
    row: dict[str, JsonValue] = {
        "name": "alice",
        "requests_per_second": 2.5,
        "burst": None,
        "max_concurrent": 0,
        "expires": None,
        "heads": ["a/b", "c/d"],
    }
    assert cells(keys_table("keys", [row])) == [["alice", "2.5", "-", "0", "-", "a/b, c/d"]]


def test_an_answer_of_objects_is_a_table_with_a_column_for_every_key() -> None:
    text = printed(["cat.jpg"], [{"label": "cat", "score": 0.25}, {"label": "dog", "box": [1, 2]}])
    assert text.splitlines()[0].strip() == "cat.jpg"
    assert all(word in text for word in ("label", "score", "box", "0.2500", "[1, 2]"))


def test_an_object_alone_is_a_table_of_one_row() -> None:
    assert "│ forecast" in printed(["a.csv"], {"kind": "forecast", "horizon": 3})


def test_an_answer_wrapped_in_a_list_is_unwrapped() -> None:
    assert "│ cat" in printed(["cat.jpg"], [[{"label": "cat"}]])


def test_an_answer_of_another_form_is_a_line() -> None:
    assert printed(["a.txt"], "a summary [with brackets]") == "a.txt: a summary [with brackets]\n"
    assert printed(["a.txt"], [0.123456, 2]).startswith("a.txt: [0.123456, 2]")


def test_several_inputs_get_an_answer_each() -> None:
    text = printed(["one", "two"], [[{"label": "cat"}], 0.5])
    assert "│ cat" in text
    assert "two: 0.5000" in text


def test_a_long_value_is_cut_to_a_line() -> None:
    assert brief(0.123456) == "0.1235"
    assert brief("x" * 100) == "x" * 100
    assert brief("x" * 101) == "x" * 97 + "..."
    assert brief(None) == "None"


def test_an_engine_is_shown_with_its_speed_its_largest_error_and_what_it_serves() -> None:
    report = EngineReport(
        [
            OptionReport("swift int8", 0.0034, 2, {"a": "errs"}, ("text_topic", 0.5), 2),
            OptionReport("plain fp32", None, 3, {}, None, 1),
        ],
        {},
    )
    assert cells(engines_table(report)) == [
        ["swift int8", "3.40", "2 of 3", "0.50 points (text_topic)", "2"],
        ["plain fp32", "-", "3 of 3", "-", "1"],
    ]


def test_an_explained_answer_is_followed_by_its_strongest_segments() -> None:
    segments: list[JsonValue] = [{"column": "age", "value": -0.3}, {"column": "job", "value": 0.1}]
    explanation: JsonValue = {
        "input": 0,
        "row": 1,
        "label": "yes",
        "measure": "share lost",
        "segments": segments,
    }
    file = io.StringIO()
    answer: JsonValue = [{"label": "yes", "score": 0.9}]
    body: JsonValue = {"answer": answer, "explanations": [explanation]}
    print_answers(Console(file=file, width=100), ["a.csv"], body)
    shown = " ".join(file.getvalue().split())
    assert "a.csv, row 2: what carried yes" in shown
    assert shown.index("age") < shown.index("job")
    assert "0.9" in shown
