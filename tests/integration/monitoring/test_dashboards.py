"""Every query of every dashboard, and every alert, by a Prometheus that scrapes real servers."""

from __future__ import annotations

import json
import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
import yaml

from export.repository.assembly import assemble
from loadtests.support.triton_server import running_triton
from omnivec2.canary.canary_state import CanaryLimits, CanaryPlan
from rollout.canary_heads import add_candidate
from service.access.api_keys import create_key
from tests.support.checkpoints.tiny_exports import write_tiny_export
from tests.support.documents import ROOT
from tests.support.gateways.servers import running_server
from tests.support.model_repositories.tiny_models import tiny_heads
from tests.support.model_repositories.watched_repository import write_watched_repository
from tests.support.outside_services.prometheus import FOLDER, Prometheus, running_prometheus
from tests.support.outside_services.shared_state import running_store
from tests.support.waiting import wait_until

DASHBOARDS = sorted((ROOT / "deploy" / "grafana" / "dashboards").glob("*.json"))
ROUTES = (
    *("text/sentiment", "text/embedding", "image/classification", "timeseries/forecast"),
    "graph/solubility",
)
PLACES = 3
"""The number of requests that a gateway of this test accepts at the same time."""

_REPLACED = {"$__rate_interval": "10s", "$instance": ".*", "$modality": ".*", "$task": ".*"}
_REPLACED |= {"$model": ".*"}

_LATER = {"Prefer": "respond-async"}
"""Makes a job of a request."""


class Callers:
    """Clients that send requests all the time: valid ones, invalid ones, and too many at once."""

    def __init__(self, url: str, api_key: str) -> None:
        self._client = httpx.Client(base_url=url, timeout=20, headers={"X-API-Key": api_key})
        self._address = urlsplit(url).hostname, urlsplit(url).port
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.statuses: set[int] = set()

    def __enter__(self) -> Callers:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(20)
        self._client.close()

    def _run(self) -> None:
        image = (ROOT / "tests" / "data" / "image" / "blood_smear.jpg").read_bytes()
        series = {"target": [float(n % 24) for n in range(96)]}
        for turn in count():
            if self._over.wait(0.1):
                break
            for label in ("negative", "positive"):
                self._ask_and_give("text/sentiment", f"a moving, honest film, {turn}", label)
            self._ask_and_give("graph/solubility", "CCO", 1.1)
            self._ask("image/classification", content=image)
            self._ask("timeseries/forecast", json={"inputs": series})
            self._ask("text?tasks=sentiment,embedding", json={"inputs": "one"})
            self._ask("text/sentiment", json={"inputs": "the long film " * 500})  # cut, and noted
            self._ask("text/nonsense", json={"inputs": "one"})
            self._ask("text/sentiment", json={"inputs": "later"}, headers=_LATER)
            self._ask("image/classification", content=b"no picture")
            with self._crowd():
                self._ask("text/sentiment", json={"inputs": "too many"})

    def _ask(self, route: str, **body: Any) -> None:
        self.statuses.add(self._client.post(f"/predict/{route}", **body).status_code)

    def _ask_and_give(self, route: str, value: str, label: str | float) -> None:
        """Ask, and send the true label."""
        answer = self._client.post(f"/predict/{route}", json={"inputs": value})
        request_id = answer.headers["X-Request-ID"]
        given = self._client.post(f"/feedback/{request_id}", json={"label": label})
        self.statuses |= {answer.status_code, given.status_code}

    @contextmanager
    def _crowd(self) -> Iterator[None]:
        """Take every place with connections that begin to send a body and do not end it."""
        head = b"POST /predict/text/sentiment HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n"
        key = self._client.headers["X-API-Key"].encode()
        with ExitStack() as stack:
            for _ in range(PLACES):
                connection = stack.enter_context(socket.create_connection(self._address))
                connection.sendall(head + b"X-API-Key: " + key + b"\r\n\r\nhalf")
            # The gateway needs a moment to read them; another request may overtake them.
            time.sleep(0.05)
            yield


def repository_with_canary(directory: Path) -> Path:
    """A repository in which a new version of a head runs in the shadow of the served one."""
    heads = [head for head in tiny_heads() if head.route in ROUTES]
    assemble(write_tiny_export(directory / "checkpoint", heads), directory / "repository")
    (sentiment,) = (head for head in heads if head.route == ROUTES[0])
    new = write_tiny_export(directory / "new", [sentiment], scale=2.0)
    limits = CanaryLimits(max_error_rate=1, max_latency_ratio=1e6, max_disagreement=1)
    plan = CanaryPlan(shadow=True, limits=limits)
    add_candidate(new, ROUTES[0], directory / "repository", plan)
    return directory / "repository"


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """A Prometheus that scrapes gateways, of which one is in front of Triton, and Triton."""
    root = repository_with_canary(tmp_path_factory.mktemp("repository"))
    heads = [head for head in tiny_heads() if head.route in ROUTES]
    texts = {"text/sentiment": [f"a film of {number} words" for number in range(40)]}
    watched = write_watched_repository(tmp_path_factory.mktemp("watched"), heads, texts)
    keys = tmp_path_factory.mktemp("keys") / "keys.json"
    key = create_key(keys, "alice", requests_per_second=1000, compute_seconds_per_minute=6000)
    settings = {"metrics_port": 0, "max_pending_requests": PLACES, "api_keys_file": keys}
    embedded = ("--model-repo", str(root), "--checkpoint", "none")
    # Every caller makes jobs, which a gateway without a store refuses as an error (501).
    settings |= {"jobs_store": "sqlite", "jobs_dir": tmp_path_factory.mktemp("jobs")}
    comparing = {"shadow_wait_seconds": 60}
    watching = {"feedback_answers": 100, "drift_share": 1, "drift_window": 20}
    watching |= {"payload_log": keys.with_name("events"), "payload_log_share": 1}
    watching |= {"response_cache_mib": 1}
    with (
        running_store() as store,
        running_triton(root) as triton,
        running_server(
            *embedded, settings=settings | comparing | {"shared_state_url": store.url}
        ) as one,
        running_server("--triton", triton.grpc, settings=settings) as other,
        running_server(
            *("--model-repo", str(watched), "--checkpoint", "none"), settings=settings | watching
        ) as third,
        Callers(one.url, key) as first,
        Callers(other.url, key) as second,
        Callers(third.url, key),
    ):
        gateways = [urlsplit(server.metrics_url).netloc for server in (one, other, third)]
        targets = {"gateway": gateways, "triton": [triton.metrics]}
        with running_prometheus(targets, tmp_path_factory.mktemp("prometheus")) as prometheus:
            wait_until(lambda: len(prometheus.query("rate(up[10s]) >= 0")) == 4, "four targets")
            assert len(prometheus.query("up == 1")) == 4
            wait_until(
                lambda: {200, 404, 422, 429} <= first.statuses & second.statuses,
                "answers of every kind",
            )
            yield prometheus


def targets(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the panel's title and the query of every target of a dashboard."""
    for panel in json.loads(path.read_text())["panels"]:
        for target in panel["targets"]:
            yield panel["title"], target


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_every_query_of_a_dashboard_has_data(prometheus: Prometheus, path: Path) -> None:
    for title, target in targets(path):
        expression = target["expr"]
        for variable, value in _REPLACED.items():
            expression = expression.replace(variable, value)
        assert "$" not in expression
        wait_until(partial(_has_values, prometheus, expression), f"{title}: {expression}")
        labels = set(re.findall(r"{{(\w+)}}", target.get("legendFormat", ""))) - {"gpu_uuid"}
        for series in prometheus.query(expression):
            assert labels <= series["metric"].keys(), f"{title}: {series['metric']}"


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_every_choice_of_a_dashboard_has_values(prometheus: Prometheus, path: Path) -> None:
    for variable in json.loads(path.read_text())["templating"]["list"][1:]:
        found = re.fullmatch(r"label_values\((\w+)({.*}), (\w+)\)", variable["query"])
        assert found, variable["query"]
        match = found[1] + re.sub(r"\$\w+", ".*", found[2])
        assert prometheus.get(f"label/{found[3]}/values", **{"match[]": match})


def test_every_alert_is_evaluated_and_none_is_raised_without_reason(
    prometheus: Prometheus,
) -> None:
    def evaluated() -> bool:
        rules = prometheus.get("rules")["groups"][0]["rules"]
        return all(rule["health"] == "ok" for rule in rules)

    wait_until(evaluated, "every alert is evaluated")
    names = {rule["name"] for rule in prometheus.get("rules")["groups"][0]["rules"]}
    written = yaml.safe_load((FOLDER / "alerts.yml").read_text())["groups"][0]["rules"]
    assert names == {rule["alert"] for rule in written}
    # These callers take every place, are refused, make mistakes and always ask the same, but
    # nothing is down and nothing fails.
    active = {series["metric"]["alertname"] for series in prometheus.query("ALERTS")}
    reasons = ("Rejecting", "Saturated", "Slow", "EventLoopLate", "Drift", "ScoresShifted")
    assert active <= {f"OmniVec2{reason}" for reason in reasons}


def _has_values(prometheus: Prometheus, expression: str) -> bool:
    return bool(prometheus.query(expression))
