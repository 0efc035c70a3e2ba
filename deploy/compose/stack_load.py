"""Requests with real files, checks of their answers, and a slow steady load."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import urlsplit

from deploy.compose.container_engine import VerifyError
from deploy.compose.container_images import ROOT

SAMPLES: Mapping[str, str] = {
    "image/detection": "image/blood_smear.jpg",
    "video/action": "video/fight.mp4",
    "audio/events": "audio/dog_bark.ogg",
    "text/sentiment": "text/review.txt",
    "depth/action": "depth/ball_sequence.tiff",
    "pointcloud/classification": "pointcloud/table_binary.ply",
    "timeseries/forecast": "timeseries/hourly.csv",
    "tabular/marketing": "tabular/bank.csv",
    "graph/solubility": "graph/caffeine.smi",
    "xray/pneumonia": "xray/chest_normal.dcm",
    "infrared/objects": "infrared/person_16bit.tiff",
    "imu/activity": "imu/walk.csv",
    "hyperspectral/landcover": "hyperspectral/field.mat",
}
"""Route -> a file below ``tests/data``: one for each modality."""
_MEDIA_TYPES = {".txt": "text/plain", ".csv": "text/csv", ".smi": "chemical/x-daylight-smiles"}
_TIMEOUT_SECONDS = 60

Result = Literal["answered", "put off", "refused", "broken"]


@dataclass(frozen=True)
class Outcome:
    """The end of one request.

    Attributes:
        result: The kind of the end. answered: 200, complete; put off: 504, or 429 or 503 with
            ``Retry-After``; refused: no connection, so nothing was accepted; broken: all else.
        began: The time of the start, on the monotonic clock, as is ``ended``.
        ended: The time of the complete answer.
        detail: The status or the error.
        body: The body of the answer.
    """

    result: Result
    began: float
    ended: float
    detail: str
    body: bytes = b""


def ask(url: str, route: str) -> Outcome:
    """Post the sample of a route, on a connection of its own."""
    file = ROOT / "tests" / "data" / SAMPLES[route]
    body = file.read_bytes()
    kind = _MEDIA_TYPES.get(file.suffix, "application/octet-stream")
    began = time.monotonic()

    def outcome(result: Result, detail: str, answer: bytes = b"") -> Outcome:
        return Outcome(result, began, time.monotonic(), detail, answer)

    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=_TIMEOUT_SECONDS)
    try:
        connection.connect()
    except OSError as error:
        return outcome("refused", repr(error))
    try:
        connection.request("POST", f"/predict/{route}", body, {"Content-Type": kind})
        response = connection.getresponse()
        answer = response.read()
    except (OSError, http.client.HTTPException) as error:
        return outcome("broken", repr(error))
    finally:
        connection.close()
    if response.status == 200:
        return outcome("answered", "200", answer)
    retryable = response.status in (429, 503) and response.headers["Retry-After"] is not None
    put_off = retryable or response.status == 504
    shown = f"{response.status} {answer[:200].decode(errors='replace')}"
    return outcome("put off" if put_off else "broken", shown)


def check_answer(route: str, body: bytes, spec: Mapping[str, Any]) -> None:
    """Check an answer against the schema of its task family.

    Args:
        route: The head's name, for the message.
        body: The answer.
        spec: The head spec, from ``/models``.

    Raises:
        VerifyError: It does not conform.
    """
    try:
        answer = json.loads(body)
        _FORMS[spec["family"]](answer, spec)
    except (ValueError, LookupError, TypeError, AttributeError, AssertionError) as error:
        raise VerifyError(f"{route}: not an answer of its family: {body[:200]!r}") from error


def _labelled(answer: Any, spec: Mapping[str, Any]) -> None:
    rows = answer if isinstance(answer[0], list) else [answer]
    for row in rows:
        labels = row if isinstance(row, list) and isinstance(row[0], str) else None
        labels = labels or [entry["label"] for entry in row]
        _require(set(labels) <= set(spec["labels"]))


def _regions(key: str) -> Callable[[Any, Mapping[str, Any]], None]:
    def check(answer: Any, spec: Mapping[str, Any]) -> None:
        for region in answer:
            _require(region.keys() == {"label", "score", key} and region["label"] in spec["labels"])

    return check


def _numbers(answer: Any, spec: Mapping[str, Any]) -> None:
    rows = answer if isinstance(answer[0], list) else [answer]
    names = [target["name"] for target in spec["targets"]]
    for row in rows:
        _require([entry["label"] for entry in row] == names)
        _require(all(isinstance(entry["value"], float) for entry in row))


def _forecast(answer: Any, spec: Mapping[str, Any]) -> None:
    _require(bool(answer["predictions"]))
    for prediction in answer["predictions"]:
        _require(0 < len(prediction["mean"]) <= spec["horizon"])


_FORMS: Mapping[str, Callable[[Any, Mapping[str, Any]], None]] = {
    "classification": _labelled,
    "detection": _regions("box"),
    "segmentation": _regions("mask"),
    "regression": _numbers,
    "forecasting": _forecast,
}


def _require(holds: bool) -> None:
    if not holds:
        raise ValueError("not of the schema")


@dataclass
class Load:
    """The outcomes of a load so far; complete once its block has ended."""

    outcomes: list[Outcome] = field(default_factory=list)

    def count(self, result: Result) -> int:
        """Return the number of requests with a result."""
        return sum(outcome.result == result for outcome in self.outcomes)

    def across(self, moment: float) -> list[Outcome]:
        """Return the requests that were under way at a moment and were not refused."""
        return [o for o in self.outcomes if o.began < moment < o.ended and o.result != "refused"]


@contextmanager
def steady_load(url: str, route: str, clients: int, pause_seconds: float) -> Iterator[Load]:
    """Send the same request repeatedly from several clients until the block ends.

    Args:
        url: The gateway's address.
        route: The head's name.
        clients: The number of clients.
        pause_seconds: The time between an answer and the next request of a client.
    """
    load, stop = Load(), threading.Event()

    def work() -> None:
        while not stop.is_set():
            load.outcomes.append(ask(url, route))
            stop.wait(pause_seconds)

    threads = [threading.Thread(target=work, daemon=True) for _ in range(clients)]
    for thread in threads:
        thread.start()
    try:
        yield load
    finally:
        stop.set()
        for thread in threads:
            thread.join(_TIMEOUT_SECONDS)
