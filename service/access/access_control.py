"""Who may ask: keys are recognised, limited, and read anew when their file changes."""

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

_LOOK_SECONDS = 1.0
"""How often the file is looked at, while somebody asks."""

_SCHEME = "bearer"


@dataclass
class _Use:
    """What a key has used up of its limits."""

    tokens: float
    filled_at: float
    concurrent: int = 0


class Access:
    """The keys of a file; used on the event loop only.

    Args:
        path: of the file.
        clock: in seconds.

    Attributes:
        failure: why the file as it is now cannot be used; empty if it is in use.

    Raises:
        ArtifactError: the file cannot be read. Without keys nothing would be protected.
    """

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._clock = clock
        self._uses: dict[str, _Use] = {}
        self._seen = _signature(path)
        self._looked_at = clock()
        self._keys = read_keys(path).keys
        self.failure = ""

    def refresh(self) -> None:
        """Read the file anew if it changed; what cannot be used leaves the keys as they were."""
        now = self._clock()
        if now - self._looked_at < _LOOK_SECONDS:
            return
        self._looked_at = now
        seen = _signature(self._path)
        if seen == self._seen:
            return
        self._seen = seen
        try:
            self._keys = read_keys(self._path).keys
        except ArtifactError as error:
            self.failure = str(error)
            _LOG.error("the API keys stay as they were: %s", error)
            return
        self.failure = ""
        names = {key.name for key in self._keys}
        # A key that is in use keeps its count until its requests are answered.
        self._uses = {n: use for n, use in self._uses.items() if n in names or use.concurrent}
        _LOG.info("%d API keys are in use", len(names))

    def recognise(self, authorization: str, api_key: str) -> Key:
        """Whose key a request carries.

        Args:
            authorization: the header of that name; ``Bearer <key>`` is understood.
            api_key: the header ``X-API-Key``, used if there is no other.

        Raises:
            UnauthenticatedError: there is none, or it is unknown or expired.
        """
        self.refresh()
        scheme, _, bearer = authorization.strip().partition(" ")
        given = bearer.strip() if scheme.lower() == _SCHEME else ""
        given = given or api_key.strip()
        if not given:
            raise UnauthenticatedError(
                "expected an API key: Authorization: Bearer <key>, or X-API-Key: <key>"
            )
        wanted = digest(given)
        found: Key | None = None
        # All are compared, each in constant time: how long it takes tells nothing.
        for key in self._keys:
            if hmac.compare_digest(key.sha256, wanted):
                found = key
        if found is None or found.expired():
            raise UnauthenticatedError("the API key is unknown or has expired", invalid=True)
        return found

    @contextmanager
    def entered(self, key: Key) -> Iterator[None]:
        """Count a request of a key until the block ends.

        Raises:
            OverloadedError: the key has used up its rate, or as many requests as it may
                have at the same time are under way.
        """
        now = self._clock()
        rate = key.requests_per_second
        burst = float(key.burst or max(1.0, rate or 1.0))
        use = self._uses.setdefault(key.name, _Use(burst, now))
        if key.max_concurrent is not None and use.concurrent >= key.max_concurrent:
            raise OverloadedError(
                f"the key {key.name} has {use.concurrent:,} requests under way, as many as it may",
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


def check_heads(specs: Sequence[HeadSpec]) -> None:
    """Refuse heads that the current key may not ask.

    Raises:
        ForbiddenError: one of them is not among those of the key.
    """
    key = REQUEST.get().key
    if key is None or key.heads is None:
        return
    for spec in specs:
        if spec.route not in key.heads:
            raise ForbiddenError(f"the key {key.name} may not ask {spec.route}")


def _signature(path: Path) -> tuple[int, int, int] | None:
    """Changes when the file does."""
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_ino, stat.st_size
