"""Webhooks: what is sent, how it is signed, and where it may go."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import hmac
import json
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import ClassVar

import pytest

from omnivec2.errors import ArtifactError, ForbiddenError, InvalidParameterError, SwitchedOffError
from service.jobs import webhooks
from service.jobs.job import Job, JobRequest, JobState
from service.jobs.webhook_rules import Target, WebhookRules
from service.jobs.webhooks import Webhooks, secret_bytes, signed_headers

SECRET = "whsec_" + base64.b64encode(b"a secret of some length").decode()
RULES = WebhookRules(("hooks.example", "127.0.0.1", "[::1]", "inside.example", "10.1.0.0/16"))


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("https://hooks.example/a?b=c", Target("https", "hooks.example", 443, "/a?b=c")),
        ("https://HOOKS.example:8443", Target("https", "hooks.example", 8443, "/")),
        ("http://127.0.0.1:9000/", Target("http", "127.0.0.1", 9000, "/")),
        ("http://[::1]:9000/x", Target("http", "::1", 9000, "/x")),
    ],
)
def test_an_address_of_an_allowed_host_is_taken(url: str, target: Target) -> None:
    assert RULES.check(url) == target


@pytest.mark.parametrize(
    "url",
    [
        "https://other.example/",
        "https://hooks.example.evil.example/",
        "https://169.254.169.254/latest/meta-data",
        "https://2130706433/",
        "https://localhost/",
    ],
)
def test_a_host_that_is_not_allowed_is_refused(url: str) -> None:
    with pytest.raises(ForbiddenError, match="may not go to"):
        RULES.check(url)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "hooks.example",
        "ftp://hooks.example/",
        "file:///etc/passwd",
        "http://hooks.example/",
        "https://user:secret@hooks.example/",
        "https://hooks.example/#piece",
        "https://hooks.example:port/",
        "https://hooks.example/\r\nX-Evil: 1",
        "https://hooks.example/" + "a" * 3000,
        "https://[::1",
    ],
)
def test_what_is_no_address_for_webhooks_is_refused(url: str) -> None:
    with pytest.raises(InvalidParameterError, match="X-Webhook: expected"):
        RULES.check(url)


@pytest.mark.parametrize(
    ("host", "address", "is_allowed"),
    [
        ("hooks.example", "93.184.215.14", True),
        ("hooks.example", "10.1.2.3", True),
        ("hooks.example", "10.2.2.3", False),
        ("hooks.example", "127.0.0.1", False),
        ("hooks.example", "::1", False),
        ("hooks.example", "::ffff:127.0.0.1", False),
        ("hooks.example", "64:ff9b::a9fe:a9fe", False),
        ("hooks.example", "2002:7f00:1::1", False),
        ("hooks.example", "64:ff9b::5db8:d70e", True),
        ("hooks.example", "169.254.169.254", False),
        ("hooks.example", "224.0.0.1", False),
        ("hooks.example", "0.0.0.0", False),
        ("127.0.0.1", "127.0.0.1", True),
    ],
)
def test_the_address_that_a_name_stands_for_is_looked_at(
    monkeypatch: pytest.MonkeyPatch, host: str, address: str, is_allowed: bool
) -> None:
    found = [(2, 1, 6, "", (address, 443))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    target = Target("https", host, 443, "/")
    if is_allowed:
        assert RULES.resolve(target) == address
    else:
        with pytest.raises(ForbiddenError, match="no public address"):
            RULES.resolve(target)


def test_one_address_that_is_not_allowed_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [(2, 1, 6, "", (address, 443)) for address in ("93.184.215.14", "127.0.0.1")]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    with pytest.raises(ForbiddenError):
        RULES.resolve(Target("https", "hooks.example", 443, "/"))


def test_a_network_that_is_none_is_named() -> None:
    with pytest.raises(ArtifactError, match=r"10\.0\.0\.0/99 is no network"):
        WebhookRules(("10.0.0.0/99",))


def test_a_secret_is_text_or_base64() -> None:
    assert secret_bytes("plain") == b"plain"
    assert secret_bytes(SECRET) == b"a secret of some length"
    with pytest.raises(ArtifactError, match="expected base64 behind whsec_"):
        secret_bytes("whsec_*")


def test_the_signature_is_that_of_standard_webhooks() -> None:
    # The example of the specification's own libraries.
    secret = secret_bytes("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    headers = signed_headers(
        "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}', secret
    )
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


Message = tuple[dict[str, str], bytes]


class _Receiver(BaseHTTPRequestHandler):
    seen: ClassVar[list[Message]]
    statuses: ClassVar[list[int]]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.seen.append(({k.lower(): v for k, v in self.headers.items()}, body))
        status = self.statuses.pop(0)
        self.send_response(status)
        if status == 302:
            self.send_header("Location", "/elsewhere")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def receiver(*answers: int) -> Iterator[tuple[str, list[Message]]]:
    """A server on loopback that answers with these statuses, and keeps what it was sent."""

    class Receiver(_Receiver):
        seen: ClassVar[list[Message]] = []
        statuses: ClassVar[list[int]] = list(answers)

    with HTTPServer(("127.0.0.1", 0), Receiver) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/hook", Receiver.seen
        finally:
            server.shutdown()
            thread.join()


def job_with(webhook: str) -> Job:
    request = JobRequest("text", ("sentiment",), webhook=webhook)
    return Job("an-id", "", request, 4, 0.0, 1.0, JobState.DONE, finished=1000.0)


def outcomes_of(sender: Webhooks, outcomes: list[str], *jobs: Job) -> None:
    async def main() -> None:
        for job in jobs:
            sender.tell(job)
        async with asyncio.timeout(20):
            while len(outcomes) < sum(bool(job.request.webhook) for job in jobs):
                await asyncio.sleep(0.01)
        await sender.close()

    asyncio.run(main())


def test_a_webhook_is_signed_and_sent_until_it_is_taken() -> None:
    outcomes: list[str] = []
    with receiver(503, 204) as (url, seen):
        sender = Webhooks(RULES, SECRET, outcomes.append, (0.01, 0.01))
        outcomes_of(sender, outcomes, job_with(url), job_with(""))
    assert outcomes == ["delivered"]
    assert len(seen) == 2
    headers, body = seen[1]
    assert json.loads(body) == {
        "type": "job.done",
        "timestamp": "1970-01-01T00:16:40.000+00:00",
        "data": {"id": "an-id", "state": "done", "location": "/jobs/an-id"},
    }
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    expected = hmac.digest(b"a secret of some length", signed, hashlib.sha256)
    assert headers["webhook-signature"] == "v1," + base64.b64encode(expected).decode()
    assert headers["webhook-id"] == seen[0][0]["webhook-id"]


def test_redirects_are_not_followed() -> None:
    outcomes: list[str] = []
    with receiver(302, 302) as (url, seen):
        outcomes_of(Webhooks(RULES, SECRET, outcomes.append, (0.01,)), outcomes, job_with(url))
    assert (outcomes, len(seen)) == (["failed"], 2)


def test_a_host_that_is_no_longer_allowed_gets_nothing() -> None:
    outcomes: list[str] = []
    with receiver(200) as (url, seen):
        sender = Webhooks(WebhookRules(()), SECRET, outcomes.append, (0.01,))
        outcomes_of(sender, outcomes, job_with(url))
    assert (outcomes, seen) == (["failed"], [])


def test_a_receiver_that_is_away_is_given_up_at_last() -> None:
    outcomes: list[str] = []
    sender = Webhooks(RULES, SECRET, outcomes.append, (0.01,))
    outcomes_of(sender, outcomes, job_with("https://127.0.0.1:1/"))
    assert outcomes == ["failed"]


def test_no_more_are_under_way_than_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhooks, "_MOST_UNDER_WAY", 0)
    outcomes: list[str] = []
    sender = Webhooks(RULES, SECRET, outcomes.append)
    outcomes_of(sender, outcomes, job_with("https://hooks.example/"))
    assert outcomes == ["failed"]


def test_without_a_secret_there_are_no_webhooks() -> None:
    with pytest.raises(SwitchedOffError, match="OMNIVEC2_JOBS_WEBHOOK_SECRET"):
        Webhooks(RULES, "").check("https://hooks.example/")
    Webhooks(RULES, SECRET).check("https://hooks.example/")


@contextmanager
def slow_receiver() -> Iterator[str]:
    """A server on loopback that sends one byte of its answer again and again."""
    is_over = threading.Event()

    def drip(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            while not is_over.wait(0.01):
                connection.sendall(b"H")

    def serve(server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = server.accept()
                threading.Thread(target=drip, args=(connection,)).start()

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=serve, args=(server,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.getsockname()[1]}/hook"
        finally:
            is_over.set()
            server.shutdown(socket.SHUT_RDWR)
            thread.join()


def test_a_receiver_that_answers_without_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhooks, "_TIMEOUT_SECONDS", 0.2)
    outcomes: list[str] = []
    with slow_receiver() as url:
        outcomes_of(Webhooks(RULES, SECRET, outcomes.append, ()), outcomes, job_with(url))
    assert outcomes == ["failed"]


def test_slow_receivers_take_no_thread_that_others_need() -> None:
    async def main() -> None:
        sender = Webhooks(RULES, SECRET)
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))
        for _ in range(20):
            sender.tell(job_with(url))
        async with asyncio.timeout(20):
            assert await asyncio.to_thread(lambda: "done") == "done"
            await sender.close()

    with slow_receiver() as url:
        asyncio.run(main())
