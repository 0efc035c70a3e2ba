"""Every example of the README and of the pages named below runs, as it is printed there."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from typing import Any

import httpx
import pytest

from tests.support.documents import ADDRESS, ROOT, Example, examples
from tests.support.gateways.servers import EXACT

DOCUMENTS = tuple(
    ROOT / name
    for name in (
        *("README.md", "docs/index.md", "docs/http-api.md", "docs/python.md"),
        "docs/explanations.md",
    )
)
EXAMPLES = [example for path in DOCUMENTS for example in examples(path)]
# Those that print the answer's body, rather than its headers or events.
OTHERS = ("-D -", "text/event-stream")
CURLS = [
    e
    for e in EXAMPLES
    if e.language == "bash" and e.routes and not any(sign in e.code for sign in OTHERS)
]
LONGEST_SECONDS = 60

# What people see is plain curl; here an error status must end the example.
_STRICT_CURL = 'set -euo pipefail\ncurl() { command curl -sS --fail-with-body "$@"; }\n'


@pytest.fixture(scope="module")
def url(request: pytest.FixtureRequest) -> str:
    """A running service: the one $URL names, else one that is started for the tests."""
    given = os.environ.get("URL")
    return given or str(request.getfixturevalue("reference_server"))


def _run(example: Example, url: str) -> str:
    """Run an example from the repository's directory; return its standard output."""
    code = example.code.replace(ADDRESS, url.rstrip("/"))
    command = {
        "bash": ["bash", "-c", _STRICT_CURL + code],
        "python": [sys.executable, "-c", code],
    }[example.language]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=os.environ | EXACT,
        capture_output=True,
        text=True,
        timeout=LONGEST_SECONDS,
        check=False,
    )
    assert done.returncode == 0, f"{example.name}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda e: e.name)
def test_a_documented_example_runs(example: Example, url: str) -> None:
    assert _run(example, url).strip(), f"{example.name} printed nothing"


@pytest.mark.parametrize("example", CURLS, ids=lambda e: e.name)
def test_a_documented_curl_is_answered_in_the_schema_of_its_family(
    example: Example, url: str
) -> None:
    [route] = example.routes
    spec = httpx.get(f"{url}/models/{route}", timeout=10).raise_for_status().json()
    answer = json.loads(_run(example, url))
    if "explain=true" in example.code:
        assert answer["explanations"]
        answer = answer["answer"]
    CHECKS[spec["family"]](answer, spec)


def _classification(answer: Any, spec: Mapping[str, Any]) -> None:
    rows = answer if isinstance(answer[0], list) else [answer]
    for row in rows:
        if isinstance(row, str):  # the labels of a table
            row = [{"label": row, "score": 1.0}]  # noqa: PLW2901
        scores = [entry["score"] for entry in row]
        assert all(entry.keys() == {"label", "score"} for entry in row)
        assert {entry["label"] for entry in row} <= set(spec["labels"])
        assert scores == sorted(scores, reverse=True)


def _detection(answer: Any, spec: Mapping[str, Any]) -> None:
    for found in answer:
        assert found.keys() == {"label", "score", "box"}
        assert found["label"] in spec["labels"]
        box = found["box"]
        assert 0 <= box["xmin"] <= box["xmax"]
        assert 0 <= box["ymin"] <= box["ymax"]


def _segmentation(answer: Any, spec: Mapping[str, Any]) -> None:
    assert answer
    for region in answer:
        assert region.keys() == {"label", "score", "mask"}
        assert region["label"] in spec["labels"]
        assert re.match(r"iVBORw0KGgo", region["mask"]), "the mask is not a base64 PNG"


def _regression(answer: Any, spec: Mapping[str, Any]) -> None:
    values = answer[0] if isinstance(answer[0], list) else answer
    assert [value["label"] for value in values] == [target["name"] for target in spec["targets"]]
    assert all(isinstance(value["value"], float) and "unit" in value for value in values)


def _forecasting(answer: Any, spec: Mapping[str, Any]) -> None:
    assert answer["predictions"]
    for prediction in answer["predictions"]:
        assert prediction.keys() >= {"target", "mean"}
        assert 0 < len(prediction["mean"]) <= spec["horizon"]


def _embedding(answer: Any, spec: Mapping[str, Any]) -> None:
    [size] = spec["outputs"][0]["shape"]
    for vector in answer:
        assert len(vector) == size
        assert sum(x * x for x in vector) == pytest.approx(1, abs=1e-3)


CHECKS: Mapping[str, Callable[[Any, Mapping[str, Any]], None]] = {
    "classification": _classification,
    "detection": _detection,
    "segmentation": _segmentation,
    "regression": _regression,
    "forecasting": _forecasting,
    "embedding": _embedding,
}
