"""Keep copies of the try page's libraries in the repository, so that it works without internet.

    make web         copy them from npm, at the locked versions (needs npm)
    make web-check   compare what is in the repository with what npm gives

Where there is no npm, ``--check`` compares with the digests in ``manifest.json`` alone. Large files
are kept and sent compressed; names, digests and comparisons are those of their content.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
VENDOR = HERE / "try" / "vendor"
MANIFEST = "manifest.json"
PACKED = ".gz"
"""The end of the names of compressed files."""

_LARGE_BYTES = 90_000
"""Files from this size on are compressed: it saves a second on a line of 10 Mbit/s."""


@dataclass(frozen=True)
class Library:
    """The files to copy from an npm package, by their names in it, and its licence."""

    licence: str
    files: tuple[str, ...]
    keep_folders: bool = False


LIBRARIES = {
    "@picocss/pico": Library("MIT", ("css/pico.indigo.min.css", "LICENSE.md")),
    "dicom-parser": Library("MIT", ("dist/dicomParser.min.js", "LICENSE")),
    # Its modules import each other by relative paths.
    "lit-html": Library(
        "BSD-3-Clause",
        (
            "lit-html.js",
            "async-directive.js",
            "directive.js",
            "directive-helpers.js",
            "directives/keyed.js",
            "directives/live.js",
            "directives/ref.js",
            "LICENSE",
        ),
        keep_folders=True,
    ),
    "openchemlib": Library("BSD-3-Clause", ("dist/openchemlib.js", "LICENSE")),
    "pako": Library("MIT AND Zlib", ("dist/pako_inflate.min.js", "LICENSE")),
    "plotly.js-gl3d-dist-min": Library("MIT", ("plotly-gl3d.min.js", "LICENSE")),
    "utif2": Library("MIT", ("UTIF.js", "LICENSE")),
}


def main() -> int:
    """Copy or compare the libraries; return the exit status, 1 if something differs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare, change nothing")
    check = parser.parse_args().check
    if check and shutil.which("npm") is None:
        print("npm is not installed: comparing with the recorded digests only")
        return _report(altered())
    with tempfile.TemporaryDirectory() as name:
        fresh = Path(name) / "vendor"
        _build(Path(name), fresh)
        if check:
            return _report(different(fresh))
        if VENDOR.exists():
            shutil.rmtree(VENDOR)
        shutil.copytree(fresh, VENDOR)
    size = sum(path.stat().st_size for path in VENDOR.rglob("*") if path.is_file())
    print(f"{len(LIBRARIES)} libraries, {size / 1e6:.2f} MB")
    return 0


def altered() -> list[str]:
    """Return the names of files whose digests differ from those in ``manifest.json``."""
    recorded = json.loads((VENDOR / MANIFEST).read_text())
    listed = {name: file["sha256"] for entry in recorded for name, file in entry["files"].items()}
    present = {name: _digest(_content(VENDOR, name)) for name in _names(VENDOR) if name != MANIFEST}
    return sorted(name for name in {**listed, **present} if listed.get(name) != present.get(name))


def different(fresh: Path) -> list[str]:
    """Return the names of files that differ from those of npm's packages.

    Args:
        fresh: The directory with the files that npm has just installed.
    """
    names = {*_names(fresh), *_names(VENDOR)}
    return sorted(name for name in names if _content(fresh, name) != _content(VENDOR, name))


def _build(workspace: Path, target: Path) -> None:
    """Install the locked packages and copy their files, with a manifest."""
    for name in ("package.json", "package-lock.json"):
        shutil.copy(HERE / name, workspace / name)
    command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
    subprocess.run(command, cwd=workspace, check=True)
    manifest = []
    for package, library in LIBRARIES.items():
        source = workspace / "node_modules" / package
        files = {}
        for file in library.files:
            folder = Path(package.rpartition("/")[2])
            path = folder / (file if library.keep_folders else Path(file).name)
            (target / path).parent.mkdir(parents=True, exist_ok=True)
            content = (source / file).read_bytes()
            _store(target / path, content)
            files[path.as_posix()] = {"from": file, "sha256": _digest(content)}
        version = json.loads((source / "package.json").read_text())["version"]
        manifest.append(
            {"package": package, "version": version, "licence": library.licence, "files": files}
        )
    (target / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n")


def _store(path: Path, content: bytes) -> None:
    """Write a file, compressed if it is large; its date is left out, so that it is reproducible."""
    if len(content) < _LARGE_BYTES:
        path.write_bytes(content)
    else:
        packed = path.with_name(path.name + PACKED)
        packed.write_bytes(gzip.compress(content, compresslevel=9, mtime=0))


def _names(folder: Path) -> list[str]:
    """Return the names of the files of a folder, those of compressed ones without their end."""
    paths = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    return [path.removesuffix(PACKED) for path in paths]


def _content(folder: Path, name: str) -> bytes | None:
    """Return the content of a file, compressed or not, or None if there is none."""
    path, packed = folder / name, folder / f"{name}{PACKED}"
    if packed.is_file():
        return gzip.decompress(packed.read_bytes())
    return path.read_bytes() if path.is_file() else None


def _digest(content: bytes | None) -> str | None:
    return None if content is None else hashlib.sha256(content).hexdigest()


def _report(names: list[str]) -> int:
    for name in names:
        print(f"{VENDOR / name}: differs from npm's package; run make web")
    return 1 if names else 0


if __name__ == "__main__":
    sys.exit(main())
