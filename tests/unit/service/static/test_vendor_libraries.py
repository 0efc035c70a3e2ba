"""Copies of npm's packages in the repository; npm is a script that copies made-up packages."""

from __future__ import annotations

import gzip
import json
import os
import sys
from pathlib import Path

import pytest

from service.static import vendor_libraries
from service.static.vendor_libraries import LIBRARIES, MANIFEST, altered, different, main

NPM = """#!/bin/sh
[ "$1" = ci ] && [ -f package-lock.json ] || exit 1
cp -r "$PACKAGES" node_modules
"""
LIT = "lit-html/directives/live.js"


@pytest.fixture
def packages(tmp_path: Path) -> Path:
    """What npm installs: every file that is copied, and one more of each package."""
    root = tmp_path / "packages"
    for package, library in LIBRARIES.items():
        for file in (*library.files, "more.js", "package.json"):
            path = root / package / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{file} of {package}")
        (root / package / "package.json").write_text(json.dumps({"version": "1.2.3"}))
    return root


@pytest.fixture(autouse=True)
def vendor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder in the place of the repository's copies; no npm."""
    here = tmp_path / "static"
    here.mkdir()
    for name in ("package.json", "package-lock.json"):
        (here / name).write_text("{}")
    monkeypatch.setattr(vendor_libraries, "HERE", here)
    monkeypatch.setattr(vendor_libraries, "VENDOR", here / "vendor")
    monkeypatch.setenv("PATH", "/nowhere")
    return here / "vendor"


@pytest.fixture
def npm(packages: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = tmp_path / "bin" / "npm"
    script.parent.mkdir()
    script.write_text(NPM)
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{script.parent}{os.pathsep}/usr/bin{os.pathsep}/bin")
    monkeypatch.setenv("PACKAGES", str(packages))


def run(monkeypatch: pytest.MonkeyPatch, *options: str) -> int:
    monkeypatch.setattr(sys, "argv", ["vendor_libraries", *options])
    return main()


def test_a_copy_has_the_chosen_files_and_their_versions_licences_and_digests(
    npm: None, vendor: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch) == 0
    assert f"{len(LIBRARIES)} libraries" in capsys.readouterr().out
    manifest = {entry["package"]: entry for entry in json.loads((vendor / MANIFEST).read_text())}
    assert manifest.keys() == LIBRARIES.keys()
    assert {entry["version"] for entry in manifest.values()} == {"1.2.3"}
    assert manifest["utif2"]["licence"] == "MIT"
    assert not list(vendor.rglob("more.js"))
    assert altered() == []


def test_modules_that_import_each_other_keep_their_folders_and_others_do_not(
    npm: None, vendor: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(monkeypatch)
    assert (vendor / LIT).read_text() == "directives/live.js of lit-html"
    assert (vendor / "pico" / "pico.indigo.min.css").is_file()
    assert (vendor / "openchemlib" / "openchemlib.js").is_file()


def test_a_large_file_is_kept_compressed_and_compared_by_its_content(
    npm: None, packages: Path, vendor: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    large = packages / "openchemlib" / "dist" / "openchemlib.js"
    large.write_text("large " * 100_000)
    run(monkeypatch)
    assert not (vendor / "openchemlib" / "openchemlib.js").exists()
    kept = vendor / "openchemlib" / "openchemlib.js.gz"
    assert gzip.decompress(kept.read_bytes()) == large.read_bytes()
    assert run(monkeypatch, "--check") == 0
    # Another compression of the same content is no difference, other content is one.
    kept.write_bytes(gzip.compress(large.read_bytes(), compresslevel=1))
    assert run(monkeypatch, "--check") == 0
    kept.write_bytes(gzip.compress(b"other"))
    assert altered() == ["openchemlib/openchemlib.js"]
    assert run(monkeypatch, "--check") == 1


def test_a_copy_replaces_what_was_there(
    npm: None, vendor: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (vendor / "old").mkdir(parents=True)
    (vendor / "old" / "library.js").write_text("old")
    run(monkeypatch)
    assert not (vendor / "old").exists()


def test_a_check_against_npm_changes_nothing_and_names_what_differs(
    npm: None,
    packages: Path,
    vendor: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run(monkeypatch)
    assert run(monkeypatch, "--check") == 0
    (packages / LIT).write_text("newer")
    capsys.readouterr()
    assert run(monkeypatch, "--check") == 1
    lines = capsys.readouterr().out.splitlines()
    # The manifest holds the digests, so it differs too.
    assert [line.split(":")[0] for line in lines] == [str(vendor / LIT), str(vendor / MANIFEST)]
    assert all("run make web" in line for line in lines)
    assert (vendor / LIT).read_text() == "directives/live.js of lit-html"


def test_without_npm_a_check_finds_changed_added_and_missing_files_by_their_digests(
    npm: None, vendor: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run(monkeypatch)
    monkeypatch.setenv("PATH", "/nowhere")
    assert run(monkeypatch, "--check") == 0
    assert "npm is not installed" in capsys.readouterr().out
    (vendor / LIT).write_text("changed")
    (vendor / "added.js").write_text("added")
    (vendor / "pako" / "LICENSE").unlink()
    assert run(monkeypatch, "--check") == 1
    assert altered() == ["added.js", LIT, "pako/LICENSE"]


def test_files_that_only_one_side_has_differ(tmp_path: Path, vendor: Path) -> None:
    fresh = tmp_path / "fresh"
    for folder, names in ((fresh, ("a", "b")), (vendor, ("b", "c"))):
        folder.mkdir()
        for name in names:
            (folder / name).write_text(name)
    assert different(fresh) == ["a", "c"]
