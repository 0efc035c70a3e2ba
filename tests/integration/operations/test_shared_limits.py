"""Three gateways and one store: limits of a key hold over all of them, and outlive the store."""

from __future__ import annotations

import io
import json
import re
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image
from tritonclient.grpc import InferenceServerClient
from tritonclient.utils import InferenceServerException

from service.access.api_keys import create_key, revoke_key
from service.access.token_bucket import BucketLimit, TokenBucket
from tests.support.command_line import run
from tests.support.gateways.servers import RunningServer, running_server
from tests.support.model_repositories.tiny_models import tiny_heads, write_repository
from tests.support.outside_services.shared_state import Store, needs_store, running_store
from tests.support.waiting import wait_until

pytestmark = needs_store

ROUTES = ("text/sentiment", "image/classification")
TEXT = {"json": {"inputs": "a moving, honest film"}}
GATEWAYS = 3
RATE = 50.0
CALLERS = 6
"""Two for each gateway; each sends up to 20 requests a second, together twice the rate."""
PAUSE_SECONDS = 0.05


@dataclass
class Service:
    """Gateways that share a store and a file of keys.

    Attributes:
        servers: The gateways.
        store: The store.
        keys: The file of keys.
        admin: A key without limits.
    """

    servers: Sequence[RunningServer]
    store: Store
    keys: Path
    admin: str

    def metric(self, sample: str) -> list[float]:
        """Return the sum of a metric's series at each gateway."""
        return [self._metric(server, sample) for server in self.servers]

    def _metric(self, server: RunningServer, sample: str) -> float:
        headers = {"X-API-Key": self.admin}
        text = httpx.get(f"{server.url}/metrics", headers=headers, timeout=10).text
        return sum(float(value) for value in re.findall(rf"^{sample} (\S+)$", text, re.M))

    def new_key(self, name: str, **limits: Any) -> str:
        """Return a new key that every gateway knows already."""
        key = create_key(self.keys, name, **limits)
        for server in self.servers:
            wait_until(partial(is_known, server.url, key), "the key is known")
        return key


def is_known(url: str, key: str) -> bool:
    response = httpx.get(f"{url}/v2", headers={"X-API-Key": key}, timeout=10)
    return response.status_code != httpx.codes.UNAUTHORIZED


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    heads = [head for head in tiny_heads() if head.route in ROUTES]
    root = write_repository(tmp_path_factory.mktemp("repository"), heads)
    keys = tmp_path_factory.mktemp("keys") / "keys.json"
    admin = create_key(keys, "admin")
    options = ("--model-repo", str(root), "--checkpoint", "none", "--grpc-port", "0")
    with running_store() as store, ExitStack() as stack:
        # A second, because a machine that runs three gateways and their callers may be busy.
        settings = {"api_keys_file": keys, "shared_state_url": store.url}
        settings |= {"shared_state_timeout_seconds": 1, "inference_threads": 1, "host_threads": 1}
        contexts = [running_server(*options, settings=settings) for _ in range(GATEWAYS)]
        with ThreadPoolExecutor(GATEWAYS) as pool:
            servers = list(pool.map(stack.enter_context, contexts))
        made = Service(servers, store, keys, admin)
        wait_until(
            lambda: made.metric("omnivec2_replicas") == [GATEWAYS] * GATEWAYS, "all are seen"
        )
        yield made


@dataclass
class Callers:
    """Clients that send one request after another to the gateways with one key.

    Attributes:
        answers: The time, the status and the seconds of every answer.
    """

    service: Service
    key: str
    route: str
    body: dict[str, Any]
    count: int = CALLERS
    answers: list[tuple[float, int, float]] = field(default_factory=list)
    _over: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Callers:
        self._threads = [
            threading.Thread(target=self._call, args=(self.service.servers[n % GATEWAYS].url,))
            for n in range(self.count)
        ]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(30)

    def _call(self, url: str) -> None:
        with httpx.Client(headers={"X-API-Key": self.key}, timeout=30) as client:
            while not self._over.is_set():
                started = time.monotonic()
                try:
                    status = client.post(f"{url}/predict/{self.route}", **self.body).status_code
                except httpx.HTTPError:
                    status = 0
                seconds = time.monotonic() - started
                self.answers.append((time.monotonic(), status, seconds))
                self._over.wait(max(0.0, PAUSE_SECONDS - seconds))

    def times(self, since: float = 0.0, until: float = float("inf")) -> list[float]:
        return sorted(at for at, _, _ in self.answers if since <= at < until)

    def granted(self, since: float = 0.0, until: float = float("inf")) -> int:
        return sum(status == 200 and since <= at < until for at, status, _ in self.answers)


def test_a_key_is_limited_over_http_and_grpc_alike(service: Service) -> None:
    key = service.new_key("both", requests_per_second=0.001, burst=GATEWAYS + 4)
    # Every gateway was asked once whether it knows the key.
    url = [f"{server.url}/predict/text/sentiment" for server in service.servers]
    headers = {"X-API-Key": key}
    for n in range(2):
        assert httpx.post(url[n], headers=headers, **TEXT).status_code == 200
    # The metadata of the server counts as a request, too.
    for server in service.servers[1:]:
        with InferenceServerClient(server.grpc_address) as client:
            client.get_server_metadata(headers={"x-api-key": key})
    with (
        InferenceServerClient(service.servers[0].grpc_address) as client,
        pytest.raises(InferenceServerException, match=r"may send 0\.001 requests per second"),
    ):
        client.get_server_metadata(headers={"x-api-key": key})
    refused = httpx.post(url[2], headers=headers, **TEXT)
    assert refused.status_code == 429
    assert 900 < int(refused.headers["retry-after"]) <= 1000


def test_compute_seconds_bind_for_a_costly_head_and_not_for_a_cheap_one(service: Service) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (1500, 2000, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).save(buffer, "PNG")
    picture = {"content": buffer.getvalue(), "headers": {"Content-Type": "image/png"}}
    meter = service.new_key("meter")
    started = time.monotonic()
    with Callers(service, meter, "image/classification", picture, count=3) as callers:
        wait_until(lambda: callers.granted() >= 9, "pictures are answered", 60)
    pictures_per_second = callers.granted() / (time.monotonic() - started)
    used = sum(service.metric(r'omnivec2_key_compute_seconds_total{key="meter"}'))
    each = used / callers.granted()

    # Less than half of what is asked for, and plenty for texts.
    rate = 0.4 * pictures_per_second * each
    limits = {"compute_seconds_per_minute": 60 * rate, "compute_burst_seconds": 2 * each}
    costly, cheap = service.new_key("costly", **limits), service.new_key("cheap", **limits)
    started = time.monotonic()
    with (
        Callers(service, costly, "image/classification", picture, count=3) as pictures,
        Callers(service, cheap, "text/sentiment", TEXT, count=1) as texts,
    ):
        time.sleep(2)
        wait_until(lambda: pictures.granted() >= 8, "pictures are granted as time goes by", 60)
    allowed = 2 * each + rate * (time.monotonic() - started)
    used = sum(service.metric(r'omnivec2_key_compute_seconds_total{key="costly"}'))
    print(f"\n{pictures.granted()} of {len(pictures.answers)} pictures of {each * 1000:.0f} ms:")
    print(f"{used:.2f} of {allowed:.2f} compute-seconds; {texts.granted()} texts")
    # What is under way at each gateway may take more than was estimated, and is paid for later.
    assert used <= allowed + 2 * GATEWAYS * each
    assert {status for _, status, _ in pictures.answers} == {200, 429}
    assert {status for _, status, _ in texts.answers} == {200}

    def usage() -> dict[str, Any]:
        result = run("key", "usage", "--store", service.store.url, "--days", "2", "--json")
        assert result.exit_code == 0, result.output
        return {row["name"]: row for row in json.loads(result.stdout)}

    wait_until(lambda: usage()["costly"]["compute_seconds"] == pytest.approx(used), "usage adds up")
    refused = sum(status == 429 for _, status, _ in pictures.answers)
    wait_until(lambda: usage()["costly"]["refused"] == refused, "refusals add up")
    row = usage()["costly"]
    assert row["received_bytes"] >= pictures.granted() * len(buffer.getvalue())


def test_a_rate_holds_over_gateways_and_the_store_may_die_and_come_back(service: Service) -> None:
    key = service.new_key("steady", requests_per_second=RATE)
    service.new_key("leaving")
    revoke_key(service.keys, "leaving")  # a reload does not disturb
    with Callers(service, key, "text/sentiment", TEXT) as callers:
        started = time.monotonic()
        time.sleep(6)
        killed = time.monotonic()
        service.store.kill()
        time.sleep(4)
        revived = time.monotonic()
        assert service.metric("omnivec2_shared_state_up") == [0.0] * GATEWAYS
        assert service.metric("omnivec2_replicas") == [GATEWAYS] * GATEWAYS
        assert all(count > 10 for count in service.metric("omnivec2_local_limit_decisions_total"))
        service.store.start()
        wait_until(
            lambda: service.metric("omnivec2_shared_state_up") == [1.0] * GATEWAYS, "it is back"
        )
        time.sleep(2)
        over = time.monotonic()
    # A key begins with its burst, of which asking whether it is known took three.
    burst = RATE - GATEWAYS
    allowed = burst + RATE * (killed - started)
    granted = callers.granted(until=killed)
    ideal = granted_by_one_bucket(callers.times(until=killed), burst)
    alone = callers.granted(killed, revived)
    # An empty store grants the burst once more.
    after = callers.granted(revived)
    slowest = max(seconds for _, _, seconds in callers.answers)
    print(f"\n{granted} granted of {allowed:.0f} allowed; one bucket would have granted {ideal};")
    print(f"without the store {alone / (revived - killed):.1f}/s of {RATE:g}/s;")
    print(f"the slowest answer took {slowest * 1000:.0f} ms")
    assert {status for _, status, _ in callers.answers} == {200, 429}
    assert granted <= 1.01 * allowed
    assert granted >= 0.97 * ideal
    # Each goes on with what its own clients have left of its share: at most a burst in all.
    assert alone <= RATE * (revived - killed) + RATE
    assert alone >= 0.8 * granted_by_one_bucket(callers.times(killed, revived), 0)
    assert after <= RATE * (over - revived) + 2 * RATE
    assert after >= 0.8 * granted_by_one_bucket(callers.times(revived, over), 0)


def granted_by_one_bucket(times: Sequence[float], tokens: float) -> int:
    """Return how many requests at these times the rate would have let in, in one process."""
    limit = BucketLimit(RATE, RATE)
    bucket = TokenBucket(times[0])
    bucket.draw(RATE - tokens, limit, times[0])
    return sum(bucket.take(1.0, limit, at) == 0 for at in times)
