"""Compute the size of the packages in an image for some modalities, without building it.

The files of the packages that ``select_modalities`` selects are copied from the environment that
runs this, reduced by ``slim`` and compiled, as when an image is built; then they are counted. To
an image belong the base image (about 130 MB for ``python:3.11-slim``) and the checkpoint, too::

    python -m deploy.gateway.environment_size all image,text
"""

from __future__ import annotations

import argparse
import compileall
import shutil
import sys
import tempfile
import tomllib
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from deploy.gateway import slim
from deploy.gateway.select_modalities import parse_modalities, read_lock, select_requirements

ROOT = Path(__file__).resolve().parents[2]
_LARGEST = 12


def main() -> int:
    """Print the sizes; return 1 if a package is not installed here."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("modalities", nargs="+", help="all, or names separated by commas")
    options = parser.parse_args()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lock = (ROOT / "requirements/serving.lock").read_text()
    for text in options.modalities:
        modalities = parse_modalities(text, project)
        packages = read_lock(select_requirements(lock, project, modalities)).keys()
        with tempfile.TemporaryDirectory() as folder:
            try:
                before = copy_packages(packages, Path(folder))
            except PackageNotFoundError as error:
                print(f"error: {error.name} of the lock file is not installed", file=sys.stderr)
                return 1
            slim.slim(Path(folder))
            compileall.compile_dir(folder, quiet=2, force=True)
            after, parts = slim.size(Path(folder)), directory_sizes(Path(folder))
        print(f"{text}: {len(packages)} packages, {_megabytes(before)} MB as installed, ", end="")
        print(f"{_megabytes(after)} MB in an image, with bytecode:")
        largest = [f"{name} {_megabytes(size)}" for name, size in parts[:_LARGEST]]
        print(f"  {', '.join(largest)}")
    return 0


def copy_packages(names: Iterable[str], target: Path) -> int:
    """Copy the files of installed packages below a directory.

    Args:
        names: The names of the packages.
        target: The directory; files outside of ``site-packages``, such as programs, are left out.

    Returns:
        The bytes of the files.

    Raises:
        PackageNotFoundError: A package is not installed.
    """
    copied = 0
    for name in names:
        for file in distribution(name).files or ():
            source = Path(str(file.locate()))
            if ".." in file.parts or "__pycache__" in file.parts or not source.is_file():
                continue
            path = target / file
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, path)
            copied += path.stat().st_size
    return copied


def directory_sizes(packages: Path) -> list[tuple[str, int]]:
    """Return the packages below a directory with their bytes, bundled libraries included."""
    sizes: dict[str, int] = {}
    for path in packages.iterdir():
        name = path.name.removesuffix(".libs")
        bytes_ = slim.size(path) if path.is_dir() else path.stat().st_size
        sizes[name] = sizes.get(name, 0) + bytes_
    return sorted(sizes.items(), key=lambda item: -item[1])


def _megabytes(size: int) -> int:
    return round(size / 1e6)


if __name__ == "__main__":
    sys.exit(main())
