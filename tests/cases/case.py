"""Cases: inputs as people have them, and what a sensible user wants from each.

No score is fixed anywhere: an answer is compared with that to the same content, saved plainly.
"""

from __future__ import annotations

import base64
import io
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol

import httpx
import numpy as np
from PIL import Image

from service.http.notes_header import NOTES_HEADER, parse_notes

TOLERANCE = 0.001


@dataclass(frozen=True)
class Sent:
    """What is sent.

    Attributes:
        content: The body.
        content_type: Its declared type; none is declared if None.
    """

    content: bytes
    content_type: str | None = None


Factory = Callable[[], Sent | bytes]
"""What makes a request at test time; bytes are sent without a declared type."""


class Asking(Protocol):
    """Sends a request to a route of the service, the same one only once."""

    def __call__(self, route: str, sent: Sent) -> httpx.Response: ...


class Expectation(Protocol):
    """What an answer is compared with."""

    def complaint(self, answer: httpx.Response, route: str, ask: Asking) -> str:
        """Return what is wrong with an answer; empty if nothing is."""


@dataclass(frozen=True)
class Case:
    """An input of a kind that people have.

    Attributes:
        name: A sentence that tells what comes.
        route: Where it is sent, below ``/predict/``, or a path that begins with a slash.
        made: What makes it.
        expected: What should be answered.
    """

    name: str
    route: str
    made: Factory
    expected: Expectation


@cache
def sent(made: Factory) -> Sent:
    """Make a request, once."""
    content = made()
    return content if isinstance(content, Sent) else Sent(content)


def as_json(value: Any, content_type: str = "application/json") -> Sent:
    """Return a request with JSON."""
    return Sent(json.dumps(value).encode(), content_type)


def inputs(value: Any, **others: Any) -> Factory:
    """Return what makes a request with ``inputs`` in JSON."""
    return lambda: as_json({"inputs": value, **others})


def in_base64(data: bytes, width: int, end: str = "\n") -> Sent:
    """Return a request with a file in base64 whose lines are broken."""
    text = base64.b64encode(data).decode()
    lines = [text[start : start + width] for start in range(0, len(text), width)]
    return as_json({"inputs": end.join([*lines, ""])})


def as_csv(content: bytes | str, charset: str = "utf-8", declared: str = "text/csv") -> Sent:
    """Return a request with a table as text."""
    return Sent(content if isinstance(content, bytes) else content.encode(charset), declared)


@dataclass(frozen=True)
class SameAs:
    """The answer to the same content, saved plainly.

    Attributes:
        plain: What makes the plain form.
        tolerance: The difference of scores, 1 - cosine of embeddings, share of pixels, or mean
            error of a forecast over its range, that is no difference.
        offset: What is added to the plain forecast.
    """

    plain: Factory
    tolerance: float = TOLERANCE
    offset: float = 0.0

    def complaint(self, answer: httpx.Response, route: str, ask: Asking) -> str:
        wanted = ask(route, sent(self.plain))
        assert wanted.status_code == 200, f"the plain form is refused: {wanted.text[:300]}"
        if answer.status_code != 200:
            return answer.text[:500]
        found = distance(answer.json(), _moved(wanted.json(), self.offset))
        return "" if found <= self.tolerance else f"differs by {found:.4f}"


@dataclass(frozen=True)
class OtherThan:
    """Another answer than that to this: a comparison would notice a difference.

    Attributes:
        other: What makes the other input.
        tolerance: That of the comparisons of its kind.
    """

    other: Factory
    tolerance: float = TOLERANCE

    def complaint(self, answer: httpx.Response, route: str, ask: Asking) -> str:
        return "" if SameAs(self.other, self.tolerance).complaint(answer, route, ask) else "same"


@dataclass(frozen=True)
class Refused:
    """A refusal that says why.

    Attributes:
        words: A regular expression that the detail holds.
        statuses: The statuses that will do.
        lacks: A regular expression that it does not hold: an untrue reason.
    """

    words: str
    statuses: Sequence[int] = (413, 415, 422)
    lacks: str = "damaged|truncated"

    def complaint(self, answer: httpx.Response, route: str, ask: Asking) -> str:
        if answer.status_code not in self.statuses:
            return f"{answer.status_code}, not refused"
        detail = answer.json()["detail"]
        is_told = re.search(self.words, detail, re.IGNORECASE)
        return "" if is_told and not re.search(self.lacks, detail, re.IGNORECASE) else detail


@dataclass(frozen=True)
class Noted:
    """A note on the answer: its code, or a regular expression that its text holds."""

    words: str

    def complaint(self, answer: httpx.Response, route: str, ask: Asking) -> str:
        if answer.status_code != 200:
            return answer.text[:500]
        notes = parse_notes(answer.headers.get(NOTES_HEADER, ""))
        is_told = any(
            note["code"] == self.words or re.search(self.words, str(note), re.IGNORECASE)
            for note in notes
        )
        return "" if is_told else f"notes: {notes}"


@dataclass(frozen=True)
class Count:
    """A list of so many answers."""

    number: int

    def complaint(self, answer: httpx.Response, route: str, ask: Asking) -> str:
        found = answer.json()
        return "" if answer.is_success and len(found) == self.number else answer.text[:300]


@dataclass(frozen=True)
class StaysAt:
    """A forecast that stays at a value."""

    value: float
    target: str = "target"

    def complaint(self, answer: httpx.Response, route: str, ask: Asking) -> str:
        if answer.status_code != 200:
            return answer.text[:500]
        means = {item["target"]: item["mean"] for item in answer.json()["predictions"]}
        off = np.abs(np.array(means[self.target]) - self.value).max()
        return "" if off <= 0.005 * max(1.0, abs(self.value)) else f"is off by {off}"


@dataclass(frozen=True)
class AnyOf:
    """Several expectations of which one will do."""

    of: Sequence[Expectation]

    def complaint(self, answer: httpx.Response, route: str, ask: Asking) -> str:
        found = [expected.complaint(answer, route, ask) for expected in self.of]
        return "; ".join(found) if all(found) else ""


def distance(found: Any, wanted: Any) -> float:
    """Return how far an answer is from another; infinite if it has another form."""
    if isinstance(wanted, dict) and "mask" in wanted:
        return _of_masks(found, wanted) if isinstance(found, dict) else np.inf
    if isinstance(wanted, dict):
        return _worst(found, wanted) if isinstance(found, dict) else np.inf
    if isinstance(wanted, list) and not isinstance(found, list):
        return np.inf
    if isinstance(wanted, list) and wanted and "score" in _keys(wanted[0]) - {"mask", "box"}:
        return _of_scores(_by_label(found), _by_label(wanted))
    if isinstance(wanted, list) and wanted and isinstance(wanted[0], int | float):
        return _of_numbers(np.array(found, float), np.array(wanted, float))
    if isinstance(wanted, list):
        return _worst(dict(enumerate(found)), dict(enumerate(wanted)))
    if isinstance(wanted, int | float):
        return abs(found - wanted) / max(1.0, abs(wanted)) if found is not None else np.inf
    return 0.0 if found == wanted else np.inf


def _worst(found: dict, wanted: dict) -> float:
    if found.keys() != wanted.keys():
        return np.inf
    return max((distance(found[key], wanted[key]) for key in wanted), default=0.0)


def _of_scores(found: dict[str, float], wanted: dict[str, float]) -> float:
    """The largest difference; only the best labels are answered, so one may lack a low one."""
    if len(found) != len(wanted):
        return np.inf
    return max(abs(found.get(label, 0.0) - score) for label, score in wanted.items())


def _keys(value: Any) -> set[str]:
    return set(value) if isinstance(value, dict) and "mask" not in value else set()


def _by_label(scores: list[dict[str, Any]]) -> dict[str, float]:
    return {item["label"]: item["score"] for item in scores if "label" in item}


def _of_numbers(found: np.ndarray, wanted: np.ndarray) -> float:
    """1 - cosine of embeddings, which have a length of 1; else the mean error over the range."""
    if found.shape != wanted.shape:
        return np.inf
    if abs(np.linalg.norm(wanted) - 1) < 1e-3:
        return float(1 - found @ wanted)
    return float(np.abs(found - wanted).mean() / max(np.ptp(wanted), 1e-9))


def _of_masks(found: dict[str, Any], wanted: dict[str, Any]) -> float:
    if found.get("label") != wanted["label"]:
        return np.inf
    first, second = (np.asarray(Image.open(_file(item["mask"]))) for item in (found, wanted))
    return float((first != second).mean()) if first.shape == second.shape else np.inf


def _file(text: str) -> io.BytesIO:
    return io.BytesIO(base64.b64decode(text))


def _moved(answer: Any, offset: float) -> Any:
    if not offset:
        return answer
    moved = [
        {**item, "mean": [value + offset for value in item["mean"]]}
        for item in answer["predictions"]
    ]
    return {"predictions": moved}
