"""Reduce what an image contains to some modalities: its requirements, and the heads in it.

Run when an image is built. A lock file says which package needs which ("# via"), so that its
part for some modalities is found without an index, with the same versions and hashes::

    python select_modalities.py requirements image,text > selected.lock
    python select_modalities.py heads image,text checkpoint
"""

from __future__ import annotations

import argparse
import re
import shutil
import sys
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ALL = "all"
_OF_EVERY_IMAGE = ("shared-state",)
"""Extras of the service itself that every image has: they are small."""
_NEVER_IMPORTED = frozenset({"huggingface-hub", "pybind11"})
"""Packages that others require and that nothing imports while serving: tokenizers downloads
vocabularies with the first, fpsample is built with the second."""


@dataclass(frozen=True)
class Pinned:
    """A package of a lock file.

    Attributes:
        text: Its lines: the version and the hashes.
        needed_by: The names of the packages that require it.
    """

    text: str
    needed_by: frozenset[str]


class SelectionError(Exception):
    """The modalities, or what they need, are not there; the message names them."""


def main() -> int:
    """Run the command; return 1 with a message if the selection is impossible."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    requirements = commands.add_parser("requirements", help="print a part of the lock file")
    heads = commands.add_parser("heads", help="remove the other heads of a checkpoint")
    for command in (requirements, heads):
        command.add_argument("modalities", help="separated by commas, or all")
        command.add_argument("--project", type=Path, default=Path("pyproject.toml"))
    requirements.add_argument("--lock", type=Path, default=Path("serving.lock"))
    heads.add_argument("checkpoint", type=Path, help="a checkpoint directory; altered")
    options = parser.parse_args()
    project = tomllib.loads(options.project.read_text())["project"]
    try:
        modalities = parse_modalities(options.modalities, project)
        if options.command == "requirements":
            print(select_requirements(options.lock.read_text(), project, modalities))
        else:
            remove_heads(options.checkpoint, modalities)
    except SelectionError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def parse_modalities(text: str, project: Mapping[str, Any]) -> list[str]:
    """Return the modalities that a build argument names.

    Args:
        text: The names separated by commas, or ``all``.
        project: The ``project`` table of ``pyproject.toml``.

    Raises:
        SelectionError: One is unknown, or there is none.
    """
    extras = project["optional-dependencies"]
    # Other extras, such as train, install what `all` does not.
    known = {name for name in extras if set(extras[name]) <= set(extras[ALL])} - {ALL}
    names = [name.strip() for name in text.split(",") if name.strip()]
    unknown = sorted(set(names) - {*known, ALL})
    if unknown or not names:
        wrong = f"there is no modality {', '.join(unknown)}" if unknown else "no modality is named"
        raise SelectionError(f"{wrong}; there are {', '.join(sorted(known))}, or {ALL}")
    return sorted(known) if ALL in names else sorted(set(names))


def select_requirements(lock: str, project: Mapping[str, Any], modalities: Iterable[str]) -> str:
    """Return the part of a lock file that serving some modalities needs, with the shared state.

    Args:
        lock: The content of the lock file, made by pip-compile with ``# via`` annotations.
        project: The ``project`` table of ``pyproject.toml``.
        modalities: The modalities.

    Raises:
        SelectionError: A package that the project requires is not in the lock file.
    """
    extras = project["optional-dependencies"]
    names = [*modalities, *(name for name in _OF_EVERY_IMAGE if name in extras)]
    roots = [*project["dependencies"], *(line for name in names for line in extras[name])]
    pinned = read_lock(lock)
    selected: set[str] = set()
    wanted = {_name_of(line) for line in roots}
    while wanted:
        if unlocked := sorted(wanted - pinned.keys()):
            raise SelectionError(f"{', '.join(unlocked)} not in the lock file: run `make lock`")
        selected |= wanted
        wanted = {
            name
            for name, package in pinned.items()
            if package.needed_by & wanted and name not in selected | _NEVER_IMPORTED
        }
    return "\n".join(pinned[name].text for name in sorted(selected))


def read_lock(lock: str) -> dict[str, Pinned]:
    """Return the packages of a lock file by their normalized names."""
    packages: dict[str, Pinned] = {}
    for block in re.split(r"^(?=[A-Za-z0-9][\w.-]*==)", lock, flags=re.MULTILINE)[1:]:
        lines = block.rstrip().split("\n")
        pins = [line for line in lines if not line.lstrip().startswith("#")]
        notes = " ".join(line.strip(" #") for line in lines if line.startswith("    #"))
        needed_by = notes.removeprefix("via").replace("(pyproject.toml)", "").split()
        packages[_name_of(block)] = Pinned(
            "\n".join(pins).rstrip(), frozenset(map(_name_of, needed_by))
        )
    return packages


def remove_heads(checkpoint: Path, modalities: Iterable[str]) -> None:
    """Remove the exported heads of all other modalities from a checkpoint.

    Raises:
        SelectionError: No head is left.
    """
    kept = {f"{name}_" for name in modalities}
    models = [path for path in checkpoint.glob("models/*") if path.is_dir()]
    others = [path for path in models if not path.name.startswith(tuple(kept))]
    if len(others) == len(models):
        raise SelectionError(f"{checkpoint} has no head of {', '.join(modalities)}")
    for path in others:
        shutil.rmtree(path)


def _name_of(requirement: str) -> str:
    """Return the normalized name of the package of a requirement (PEP 503)."""
    match = re.match(r"[A-Za-z0-9][\w.-]*", requirement)
    return re.sub(r"[-_.]+", "-", match[0]).lower() if match else ""


if __name__ == "__main__":
    sys.exit(main())
