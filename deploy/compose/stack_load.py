"""Requests with real files, the form of their answers, and a slow steady load."""

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
    """How one request ended.

    Attributes:
        result: answered: 200, whole; put off: 429, 503 or 504, and told when to come again
            or why; refused: no connection, so nothing was accepted; broken: all else.
        began: on the monotonic clock, as is ``ended``.
        ended: when the answer was there.
        detail: status or error.
        body: of the answer.
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
    told = response.status in (429, 503) and response.headers["Retry-After"] is not None
    put_off = told or response.status == 504
    shown = f"{response.status} {answer[:200].decode(errors='replace')}"
    return outcome("put off" if put_off else "broken", shown)


def check_answer(route: str, body: bytes, spec: Mapping[str, Any]) -> None:
    """Check an answer against the schema of its task family.

    Args:
        route: for the message.
        body: the answer.
        spec: the head spec, from ``/models``.

    Raises:
        VerifyError: it is of another form.
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
    """What a load met so far; complete once the block that made it is left."""

    outcomes: list[Outcome] = field(default_factory=list)

    def count(self, result: Result) -> int:
        """How many requests ended so."""
        return sum(outcome.result == result for outcome in self.outcomes)

    def across(self, moment: float) -> list[Outcome]:
        """Requests that were under way at a moment and were not refused."""
        return [o for o in self.outcomes if o.began < moment < o.ended and o.result != "refused"]


@contextmanager
def steady_load(url: str, route: str, clients: int, pause_seconds: float) -> Iterator[Load]:
    """Ask the same again and again, with some clients, until the block ends."""
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
