"""The commands of load-testing.md and capacity.md: modules exist and take the options given."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys

import pytest

from tests.support.documents import ROOT

TEXT = (ROOT / "docs" / "load-testing.md").read_text()
CAPACITY = (ROOT / "docs" / "capacity.md").read_text()
LINES = [
    line.partition("  #")[0].rstrip()
    for text in (TEXT, CAPACITY)
    for block in re.findall(r"^```bash\n(.*?)^```$", text, flags=re.DOTALL | re.MULTILINE)
    for line in block.splitlines()
]


def words(line: str) -> list[str]:
    return [word for word in shlex.split(line) if not re.match(r"OMNIVEC2_\w+=", word)]


@pytest.mark.parametrize("line", [line for line in LINES if " make " in f" {line} "])
def test_a_documented_make_command_runs_a_module_with_its_variables(line: str) -> None:
    done = subprocess.run(
        [*words(line), "--dry-run", "DEV_READY="],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "-m loadtests." in done.stdout
    for word in words(line):
        if re.match(r"[A-Z_]+=", word):
            assert word.partition("=")[2] in done.stdout


@pytest.mark.parametrize("line", [line for line in LINES if line.startswith("python -m")])
def test_a_documented_module_takes_the_options_given(line: str) -> None:
    _, _, module, *options = words(line)
    named = {option for option in options if option.startswith("--")}
    locustfile = ["-f", "loadtests/locustfile.py"] if module == "locust" else []
    done = subprocess.run(
        [sys.executable, "-m", module, *locustfile, "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    # Locust's own help does not show what a locustfile adds.
    own = (ROOT / "loadtests" / "locustfile.py").read_text() if module == "locust" else ""
    known = set(re.findall(r"--[a-z][a-z-]*", done.stdout))
    known |= set(re.findall(r'add_argument\("(--[a-z-]+)"', own))
    assert named <= known


def test_the_profile_of_the_document_is_valid(tmp_path) -> None:
    from loadtests.traffic.traffic_profile import read_profile

    (block,) = re.findall(r"^```toml\n(.*?)^```$", TEXT, flags=re.DOTALL | re.MULTILINE)
    path = tmp_path / "mine.toml"
    path.write_text(block)
    assert read_profile(str(path)).shape.rate == 20.0
