"""Compare the answers of this working tree with those of another revision, to the last digit.

    python scripts/compare_answers.py                  against the commit before (HEAD~1)
    python scripts/compare_answers.py --base v0.1.0    against any revision

Both trees serve the reference checkpoint in turn, each on a free port of loopback. Every file
under tests/data goes to every head of its modality, one request at a time, in both layouts of the
model repository. The status and the body must be the same bytes. The exit status is 1 if any
answer differs.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import tomllib
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parents[1]
SAMPLES = ROOT / "tests" / "data"
LAYOUTS = ("shared", "fused")
_ADDRESS = re.compile(rb"heads at (http://\S+)")
_TIMEOUT_SECONDS = 120


@dataclass(frozen=True)
class Answer:
    """The answer of a service to one file."""

    status: int
    body: bytes


Answers = Mapping[tuple[str, str], Answer]
"""An answer per head name and file name."""


def main() -> int:
    """Print a row per head; the exit status says whether all answers are the same."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--base", default="HEAD~1", help="revision to compare with")
    base = parser.parse_args().base
    console = Console()
    differing = 0
    with _checked_out(base) as before:
        for layout in LAYOUTS:
            console.print(f"{layout}: posting to {base} ...")
            old = _answers(before, layout)
            console.print(f"{layout}: posting to the working tree ...")
            differing += _print_comparison(console, layout, old, _answers(ROOT, layout))
    console.print(f"{differing} answers differ" if differing else "all answers are the same")
    return 1 if differing else 0


@contextmanager
def _checked_out(revision: str) -> Iterator[Path]:
    """Check a revision out into a temporary work tree, and yield its path."""
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder) / "tree"
        git = ["git", "-C", str(ROOT), "worktree"]
        subprocess.run([*git, "add", "--quiet", "--detach", str(tree), revision], check=True)
        try:
            yield tree
        finally:
            subprocess.run([*git, "remove", "--force", str(tree)], check=True)


def _answers(tree: Path, layout: str) -> Answers:
    """Serve a tree's reference checkpoint and post all samples to it."""
    with tempfile.TemporaryDirectory() as repository, _serving(tree, layout, repository) as url:
        with urllib.request.urlopen(f"{url}/openapi.json", timeout=_TIMEOUT_SECONDS) as response:
            paths = re.findall(rb'"(/predict/[a-z]+/[a-z]+)"', response.read())
        return {
            (path.removeprefix("/predict/"), sample.name): _post(f"{url}{path}", sample)
            for path in sorted({path.decode() for path in paths})
            for sample in sorted((SAMPLES / path.split("/")[2]).rglob("*"))
            if sample.is_file() and sample.suffix != ".md"
        }


@contextmanager
def _serving(tree: Path, layout: str, repository: str) -> Iterator[str]:
    """Run the command ``omnivec2 serve`` of a tree; yield its address."""
    project = tomllib.loads((tree / "pyproject.toml").read_text())["project"]
    module = project["scripts"]["omnivec2"].partition(":")[0]
    command = [sys.executable, "-m", module, "serve", "--port", "0", "--model-repo", repository]
    process = subprocess.Popen(
        [*command, "--layout", layout, "--log-level", "warning"],
        cwd=tree,
        env={**os.environ, "PYTHONPATH": str(tree), "COLUMNS": "200"},
        stderr=subprocess.PIPE,
    )
    try:
        lines: list[bytes] = []
        for line in process.stderr or ():
            lines.append(line)
            if found := _ADDRESS.search(line):
                yield found[1].decode()
                return
        raise SystemExit(f"{tree} does not serve:\n{b''.join(lines).decode()}")
    finally:
        process.terminate()
        process.wait()


def _post(url: str, sample: Path) -> Answer:
    """Post a file; JSON by its content type, anything else to be recognised."""
    kind = "application/json" if sample.suffix == ".json" else "application/octet-stream"
    request = urllib.request.Request(url, sample.read_bytes(), {"Content-Type": kind})
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS) as response:
            return Answer(response.status, response.read())
    except urllib.error.HTTPError as error:
        with error:
            # A refusal names its request, which is never the same twice.
            return Answer(error.code, re.sub(rb'"instance":"[^"]*"', b"", error.read()))


def _print_comparison(console: Console, layout: str, old: Answers, new: Answers) -> int:
    """Print a row per head and return the number of answers that differ."""
    table = Table(title=f"answers of the {layout} layout")
    for column in ("head", "files", "answered", "same", "different"):
        table.add_column(column, justify="left" if column == "head" else "right")
    total = 0
    for head in sorted({name for name, _ in old.keys() | new.keys()}):
        keys = sorted(key for key in old.keys() | new.keys() if key[0] == head)
        different = [key[1] for key in keys if old.get(key) != new.get(key)]
        answered = sum(new[key].status == 200 for key in keys if key in new)
        same = len(keys) - len(different)
        table.add_row(head, str(len(keys)), str(answered), str(same), ", ".join(different) or "0")
        total += len(different)
    console.print(table)
    return total


if __name__ == "__main__":
    sys.exit(main())
