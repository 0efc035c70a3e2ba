"""Access control: keys are authenticated, rate-limited, and reloaded when their file changes."""

from __future__ import annotations

import hmac
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from omnivec2.errors import (
    ArtifactError,
    ForbiddenError,
    OverloadedError,
    UnauthenticatedError,
)
from omnivec2.spec import HeadSpec
from service.access.api_keys import Key, digest, read_keys
from service.request_context import REQUEST

_LOG = logging.getLogger(__name__)

_RELOAD_SECONDS = 1.0
"""The shortest time between two checks whether the file has changed."""

_SCHEME = "bearer"


@dataclass
class _Usage:
    """The part of its limits that a key uses: a token bucket for its rate, and its requests."""

    tokens: float
    filled_at: float
    concurrent: int = 0


class AccessControl:
    """The API keys of a file; used on the event loop only.

    Args:
        path: The path of the file.
        clock: A clock in seconds.

    Attributes:
        failure: The reason why the file as it is now cannot be used; empty if it is in use.

    Raises:
        ArtifactError: The file cannot be read. Without keys nothing would be protected.
    """

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._clock = clock
        self._usage: dict[str, _Usage] = {}
        self._signature = _signature(path)
        self._checked_at = clock()
        self._keys = read_keys(path).keys
        self.failure = ""

    def refresh(self) -> None:
        """Reload the file if it changed; the keys stay as they were if it cannot be used."""
        now = self._clock()
        if now - self._checked_at < _RELOAD_SECONDS:
            return
        self._checked_at = now
        signature = _signature(self._path)
        if signature == self._signature:
            return
        self._signature = signature
        try:
            self._keys = read_keys(self._path).keys
        except ArtifactError as error:
            self.failure = str(error)
            _LOG.error("the API keys stay as they were: %s", error)
            return
        self.failure = ""
        names = {key.name for key in self._keys}
        # A key that is in use keeps its count until its requests are answered.
        self._usage = {n: use for n, use in self._usage.items() if n in names or use.concurrent}
        _LOG.info("%d API keys are in use", len(names))

    def authenticate(self, authorization: str, api_key: str) -> Key:
        """Return the key that a request carries.

        Args:
            authorization: The header ``Authorization``; ``Bearer <key>`` is understood.
            api_key: The header ``X-API-Key``, used if the other carries no key.

        Raises:
            UnauthenticatedError: There is none, or it is unknown or expired.
        """
        self.refresh()
        scheme, _, bearer = authorization.strip().partition(" ")
        given = bearer.strip() if scheme.lower() == _SCHEME else ""
        given = given or api_key.strip()
        if not given:
            raise UnauthenticatedError(
                "expected an API key: Authorization: Bearer <key>, or X-API-Key: <key>"
            )
        given_digest = digest(given)
        found: Key | None = None
        # All are compared, each in constant time, so that the time taken reveals nothing.
        for key in self._keys:
            if hmac.compare_digest(key.sha256, given_digest):
                found = key
        if found is None or found.expired():
            raise UnauthenticatedError("the API key is unknown or has expired", invalid=True)
        return found

    @contextmanager
    def counted(self, key: Key) -> Iterator[None]:
        """Count a request of a key until the block ends.

        Raises:
            OverloadedError: The key has used up its rate, or has as many requests under way as
                its limit allows.
        """
        now = self._clock()
        rate = key.requests_per_second
        burst = float(key.burst or max(1.0, rate or 1.0))
        use = self._usage.setdefault(key.name, _Usage(burst, now))
        if key.max_concurrent is not None and use.concurrent >= key.max_concurrent:
            raise OverloadedError(
                f"the key {key.name} has {use.concurrent:,} requests under way, which is its limit",
                reason="key",
            )
        if rate is not None:
            use.tokens = min(burst, use.tokens + (now - use.filled_at) * rate)
            use.filled_at = now
            if use.tokens < 1.0:
                raise OverloadedError(
                    f"the key {key.name} may send {rate:g} requests per second",
                    retry_after_seconds=(1.0 - use.tokens) / rate,
                    reason="key",
                )
            use.tokens -= 1.0
        use.concurrent += 1
        try:
            yield
        finally:
            use.concurrent -= 1


def authorize_heads(specs: Sequence[HeadSpec]) -> None:
    """Refuse heads that the key of the current request may not use.

    Raises:
        ForbiddenError: One of them is not among those of the key.
    """
    key = REQUEST.get().key
    if key is None or key.heads is None:
        return
    for spec in specs:
        if spec.route not in key.heads:
            raise ForbiddenError(f"the key {key.name} may not use {spec.route}")


def _signature(path: Path) -> tuple[int, int, int] | None:
    """Return a value that changes when the file does; None if it cannot be read."""
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_ino, stat.st_size
