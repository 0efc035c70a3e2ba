from __future__ import annotations

import json
import re
import shlex
import stat
from pathlib import Path

import pytest
from typer.testing import CliRunner

from omnivec2.errors import ArtifactError, InvalidInputError
from omnivec2_cli.main import app
from service.access.api_keys import create_key, digest, read_keys, revoke_key
from tests.support.documents import ROOT


def test_a_key_is_in_the_file_as_its_hash_only_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "secrets" / "keys.json"
    key = create_key(path, "alice", requests_per_second=2.5)
    assert len(key) > 40
    assert key not in path.read_text()
    (one,) = read_keys(path).keys
    assert (one.name, one.sha256, one.requests_per_second) == ("alice", digest(key), 2.5)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_every_key_is_different(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    made = {create_key(path, f"caller-{i}") for i in range(20)}
    assert len(made) == len(read_keys(path).keys) == 20


def test_a_name_is_used_once(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    create_key(path, "alice")
    with pytest.raises(InvalidInputError, match="alice already"):
        create_key(path, "alice")


@pytest.mark.parametrize(
    "limits",
    [{"burst": 0}, {"requests_per_second": -1}, {"expires": "soon"}, {"max_concurrent": 0}],
)
def test_an_invalid_limit_is_refused_and_nothing_is_written(
    tmp_path: Path, limits: dict[str, object]
) -> None:
    path = tmp_path / "keys.json"
    with pytest.raises(InvalidInputError, match=next(iter(limits))):
        create_key(path, "alice", **limits)
    assert not path.exists()


def test_a_revoked_key_is_gone_and_the_others_stay(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    create_key(path, "alice")
    create_key(path, "bob")
    revoke_key(path, "alice")
    assert [key.name for key in read_keys(path).keys] == ["bob"]
    with pytest.raises(InvalidInputError, match="no key named alice"):
        revoke_key(path, "alice")


def test_toml_is_read_too_and_written_by_hand_only(tmp_path: Path) -> None:
    path = tmp_path / "keys.toml"
    path.write_text(f'[[keys]]\nname = "alice"\nsha256 = "{digest("x")}"\nheads = ["a/b"]\n')
    assert read_keys(path).keys[0].heads == ("a/b",)
    with pytest.raises(InvalidInputError, match="by hand"):
        create_key(path, "bob")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{",
        '{"keys": [{"name": "alice"}]}',
        '{"keys": [{"name": "a b", "sha256": "' + "0" * 64 + '"}]}',
        '{"keys": [{"name": "alice", "sha256": "' + "0" * 64 + '", "rate": 1}]}',
        json.dumps({"keys": [{"name": n, "sha256": "0" * 64} for n in "ab"]}),
        json.dumps({"keys": [{"name": "a", "sha256": d * 64} for d in "01"]}),
    ],
)
def test_an_invalid_file_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "keys.json"
    path.write_text(text)
    with pytest.raises(ArtifactError, match=r"keys\.json"):
        read_keys(path)


def test_a_key_in_the_place_of_its_hash_is_not_repeated_in_the_message(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    path.write_text(json.dumps({"keys": [{"name": "alice", "sha256": "ov2_secret"}]}))
    with pytest.raises(ArtifactError) as refused:
        read_keys(path)
    assert "secret" not in str(refused.value)


def test_keys_are_made_listed_and_revoked_on_the_command_line(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    run = CliRunner().invoke
    options = ["--file", str(path)]
    made = run(app, ["key", "create", "alice", *options, "--rate", "3", "--head", "text/sentiment"])
    assert made.exit_code == 0
    assert digest(made.stdout.strip()) == read_keys(path).keys[0].sha256
    listed = json.loads(run(app, ["key", "list", "--json", *options]).stdout)
    assert (listed[0]["name"], listed[0]["heads"]) == ("alice", ["text/sentiment"])
    assert "sha256" not in listed[0]
    assert "alice" in run(app, ["key", "list", *options]).stdout
    assert run(app, ["key", "revoke", "alice", *options]).exit_code == 0
    assert read_keys(path).keys == ()
    assert run(app, ["key", "revoke", "alice", *options]).exit_code == 2
    assert run(app, ["key", "list", "--file", str(tmp_path / "none.json")]).exit_code == 1


def test_documented_commands_do_what_they_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (ROOT / "docs" / "access-and-limits.md").read_text()
    # What asks a store or a service for the usage is run where there is one.
    commands = re.findall(r"^omnivec2 (key (?!usage).*)$", text, flags=re.MULTILINE)
    assert len(commands) >= 4
    monkeypatch.chdir(tmp_path)
    for command in commands:
        done = CliRunner().invoke(app, shlex.split(command))
        assert done.exit_code == 0, f"{command}: {done.output}"
    assert [key.name for key in read_keys(tmp_path / "api_keys.json").keys] == ["batch", "team"]
