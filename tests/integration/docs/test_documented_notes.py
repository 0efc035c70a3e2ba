"""The examples of the document on notes show what they say: each code, and its refusal."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from omnivec2.preprocess.notes import NoteCode
from service.http.notes_header import parse_notes
from tests.support.documents import ADDRESS, ROOT, Example, examples

DOCUMENT = ROOT / "docs" / "notes.md"
EXAMPLES = examples(DOCUMENT)
LONGEST_SECONDS = 60


def section(example: Example) -> str:
    """The last heading above an example."""
    above = DOCUMENT.read_text().splitlines()[: example.line - 1]
    return next(line.lstrip("# ") for line in reversed(above) if re.match(r"#+ ", line))


OF_CODES = [example for example in EXAMPLES if section(example) in set(NoteCode)]


def output_of(example: Example, url: str) -> str:
    code = example.code.replace(ADDRESS, url.rstrip("/"))
    shell = ["bash", "-c", "set -euo pipefail\n" + code]
    command = shell if example.language == "bash" else [sys.executable, "-c", code]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=LONGEST_SECONDS, check=False
    )
    assert done.returncode == 0, f"{example.name}\n{done.stdout}\n{done.stderr}"
    return done.stdout.strip()


def test_every_code_has_an_example() -> None:
    assert {section(example) for example in OF_CODES} == set(NoteCode)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda e: e.name)
def test_an_example_on_notes_runs(example: Example, reference_server: object) -> None:
    output = output_of(example, str(reference_server))
    assert output, f"{example.name} printed nothing"
    if example in OF_CODES:
        header = re.sub(r"^x-notes:\s*", "", output, flags=re.IGNORECASE)
        assert section(example) in {note["code"] for note in parse_notes(header)}
