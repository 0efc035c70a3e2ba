"""Telling a caller that a job is over, in the form of Standard Webhooks.

https://www.standardwebhooks.com: the headers ``webhook-id``, ``webhook-timestamp`` and
``webhook-signature``, which is the HMAC-SHA256 of both and of the body. The body names the job and
its state; the answer is fetched, so that nothing secret goes to a wrong place.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
import hashlib
import hmac
import http.client
import json
import logging
import socket
import ssl
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial

from omnivec2.errors import ArtifactError, OmniVecError, SwitchedOffError
from service.jobs.job import Job
from service.jobs.webhook_rules import Target, WebhookRules

_LOG = logging.getLogger(__name__)

_SECRET_PREFIX = "whsec_"
_TIMEOUT_SECONDS = 10.0
"""The time of one attempt, however a receiver spreads its answer over it."""

_RETRY_SECONDS = (1.0, 5.0, 30.0, 120.0)
"""The pauses between attempts; a gateway that ends meanwhile makes no more."""

_MOST_UNDER_WAY = 64
"""The most webhooks that are being sent; the callers of others must poll."""

_MOST_AT_ONCE = 8
"""The most attempts at the same time, each of which has a thread."""


class Webhooks:
    """Sends webhooks.

    Args:
        rules: The rules on where they may go.
        secret: The secret that they are signed with; empty if there are none.
        on_sent: The callback for the end of each: ``delivered`` or ``failed``.
        retry_seconds: The pauses between attempts.
    """

    def __init__(
        self,
        rules: WebhookRules,
        secret: str,
        on_sent: Callable[[str], None] = lambda _: None,
        retry_seconds: tuple[float, ...] = _RETRY_SECONDS,
    ) -> None:
        self._rules = rules
        self._secret = secret_bytes(secret)
        self._on_sent = on_sent
        self._retry_seconds = retry_seconds
        self._under_way: set[asyncio.Task[None]] = set()
        # Threads of their own: receivers that are slow must not hold up what else needs one.
        self._threads = ThreadPoolExecutor(_MOST_AT_ONCE, "webhooks")
        self._places = asyncio.Semaphore(_MOST_AT_ONCE)

    def check(self, url: str) -> None:
        """Refuse an address that no webhook may go to.

        Raises:
            SwitchedOffError: There is no secret to sign webhooks with.
            InvalidParameterError: It is no address of the kind that is expected.
            ForbiddenError: Its host is not allowed.
        """
        if not self._secret:
            raise SwitchedOffError(
                "webhooks are off: set OMNIVEC2_JOBS_WEBHOOK_SECRET and"
                " OMNIVEC2_JOBS_WEBHOOK_HOSTS, or poll"
            )
        self._rules.check(url)

    def tell(self, job: Job) -> None:
        """Begin to send the webhook of a job that is over, if it has one."""
        if not job.request.webhook:
            return
        if len(self._under_way) >= _MOST_UNDER_WAY:
            self._on_sent("failed")
            _LOG.warning("too many webhooks are under way; that of job %s is not sent", job.id)
            return
        task = asyncio.create_task(self._send(job))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    async def close(self) -> None:
        """Give up what is under way."""
        for task in self._under_way:
            task.cancel()
        if self._under_way:
            await asyncio.wait(self._under_way)
        self._threads.shutdown(wait=False)

    async def _send(self, job: Job) -> None:
        body = message_of(job)
        for pause in (*self._retry_seconds, None):
            headers = signed_headers(f"msg_{job.id}", int(time.time()), body, self._secret)
            try:
                target = self._rules.check(job.request.webhook)
                status = await self._post(target, body, headers)
                if 200 <= status < 300:
                    self._on_sent("delivered")
                    return
                reason = f"HTTP {status}"
            except OmniVecError as error:
                _LOG.warning("the webhook of job %s is not sent: %s", job.id, error)
                break
            except (OSError, http.client.HTTPException) as error:
                reason = str(error) or type(error).__name__
            if pause is None:
                _LOG.warning("the webhook of job %s was not taken: %s", job.id, reason)
                break
            await asyncio.sleep(pause)
        self._on_sent("failed")

    async def _post(self, target: Target, body: bytes, headers: Mapping[str, str]) -> int:
        """Send one message and return the status; redirects are answers like any other.

        Raises:
            OSError: The receiver cannot be reached, or does not answer in time.
            HTTPException: Its answer is not HTTP.
            ForbiddenError: The address of its host is not allowed.
        """
        connection = _PinnedConnection(target, self._rules)
        post = partial(connection.post, target.path, body, headers)
        async with self._places:
            try:
                async with asyncio.timeout(_TIMEOUT_SECONDS):
                    return await asyncio.get_running_loop().run_in_executor(self._threads, post)
            except TimeoutError as error:
                raise TimeoutError(f"no answer within {_TIMEOUT_SECONDS:g} s") from error
            finally:
                connection.abort()


class _PinnedConnection(http.client.HTTPConnection):
    """A connection to an address that was looked at, in the name of its host.

    Args:
        target: The target.
        rules: The rules on the addresses of its host.
    """

    def __init__(self, target: Target, rules: WebhookRules) -> None:
        super().__init__(target.host, target.port, timeout=_TIMEOUT_SECONDS)
        self._target = target
        self._rules = rules
        self._is_over = False

    def post(self, path: str, body: bytes, headers: Mapping[str, str]) -> int:
        """Send a message and return the status of its answer; in a thread."""
        try:
            self.request("POST", path, body, dict(headers))
            return self.getresponse().status
        finally:
            self.close()

    def connect(self) -> None:
        """Connect, encrypted for https."""
        address = self._rules.resolve(self._target)
        self._use(socket.create_connection((address, self.port), _TIMEOUT_SECONDS))
        if self._target.scheme == "https":
            context = ssl.create_default_context()
            encrypted = context.wrap_socket(
                self.sock, server_hostname=self.host, do_handshake_on_connect=False
            )
            self._use(encrypted)
            encrypted.do_handshake()

    def abort(self) -> None:
        """End what a thread does with the connection, which may be about to be made."""
        self._is_over = True
        if (used := self.sock) is not None:
            with contextlib.suppress(OSError):  # it is closed already
                used.shutdown(socket.SHUT_RDWR)

    def _use(self, connected: socket.socket) -> None:
        self.sock = connected
        if self._is_over:
            self.close()
            raise ConnectionAbortedError("the attempt is over")


def secret_bytes(secret: str) -> bytes:
    """Return the bytes of a secret: those of base64 behind ``whsec_``, or the text itself.

    Raises:
        ArtifactError: What follows ``whsec_`` is not base64.
    """
    if not secret.startswith(_SECRET_PREFIX):
        return secret.encode()
    try:
        return base64.b64decode(secret.removeprefix(_SECRET_PREFIX), validate=True)
    except binascii.Error as error:
        raise ArtifactError(
            "OMNIVEC2_JOBS_WEBHOOK_SECRET: expected base64 behind whsec_"
        ) from error


def signed_headers(message_id: str, timestamp: int, body: bytes, secret: bytes) -> dict[str, str]:
    """Return the headers of a message, by which its receiver knows the sender.

    Args:
        message_id: The id of the message, the same in every attempt.
        timestamp: The seconds since 1970.
        body: The body.
        secret: The secret that both sides know.
    """
    signed = f"{message_id}.{timestamp}.".encode() + body
    signature = base64.b64encode(hmac.digest(secret, signed, hashlib.sha256)).decode()
    return {
        "Content-Type": "application/json",
        "User-Agent": "omnivec2-serve",
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": f"v1,{signature}",
    }


def message_of(job: Job) -> bytes:
    """Return the body of the webhook of a job that is over."""
    finished = datetime.fromtimestamp(job.finished or time.time(), UTC)
    message = {
        "type": f"job.{job.state}",
        "timestamp": finished.isoformat(timespec="milliseconds"),
        "data": {"id": job.id, "state": str(job.state), "location": f"/jobs/{job.id}"},
    }
    return json.dumps(message).encode()
