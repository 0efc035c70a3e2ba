"""``omnivec2 key``: what is printed and what is kept."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.command_line import run


@pytest.fixture(autouse=True)
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("OMNIVEC2_API_KEYS_FILE", str(tmp_path / "keys.json"))
    monkeypatch.setenv("COLUMNS", "200")
    return tmp_path / "keys.json"


def test_a_key_is_printed_once_and_only_its_hash_is_kept(file: Path) -> None:
    result = run("key", "create", "alice")
    assert result.exit_code == 0, result.output
    [key] = result.stdout.split()
    assert key not in file.read_text()
    assert key not in run("key", "list").stdout


def test_limits_are_listed_and_a_dash_stands_for_none() -> None:
    limits = ("--rate", "5", "--concurrent", "2", "--expires", "2099-01-01T00:00:00Z")
    heads = ("--head", "text/sentiment", "--head", "text/topic")
    assert run("key", "create", "batch", *limits, *heads).exit_code == 0
    assert run("key", "create", "alice").exit_code == 0
    rows = [line for line in run("key", "list").stdout.splitlines() if "│" in line]
    alice, batch = sorted([cell.strip() for cell in row.split("│")[1:-1]] for row in rows)
    assert alice == ["alice", "-", "-", "-", "-", "-"]
    assert batch[0:2] == ["batch", "5.0"]
    assert batch[3] == "2"
    assert batch[5] == "text/sentiment, text/topic"


def test_a_list_as_json_holds_no_hash() -> None:
    run("key", "create", "alice", "--rate", "5")
    [row] = json.loads(run("key", "list", "--json").stdout)
    assert (row["name"], row["requests_per_second"]) == ("alice", 5.0)
    assert "sha256" not in row


def test_a_revoked_key_is_gone() -> None:
    run("key", "create", "alice")
    run("key", "create", "bob")
    result = run("key", "revoke", "alice")
    assert result.stdout == "revoked alice\n"
    assert [row["name"] for row in json.loads(run("key", "list", "--json").stdout)] == ["bob"]


@pytest.mark.parametrize(
    "arguments",
    [
        ("revoke", "nobody"),
        ("create", "alice", "--rate", "-1"),
        ("create", "alice", "--expires", "tomorrow"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line_and_changes_nothing(
    file: Path, arguments: tuple[str, ...]
) -> None:
    run("key", "create", "bob")
    before = file.read_text()
    result = run("key", *arguments)
    assert result.exit_code != 0
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1
    assert file.read_text() == before


def test_a_key_of_a_name_that_is_taken_is_refused() -> None:
    run("key", "create", "alice")
    result = run("key", "create", "alice")
    assert result.exit_code != 0
    assert "alice" in result.stderr
