"""Access control: keys are authenticated, and reloaded when their file changes."""

from __future__ import annotations

import hmac
import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from omnivec2.errors import ArtifactError, ForbiddenError, UnauthenticatedError
from omnivec2.spec import HeadSpec
from service.access.api_keys import Key, digest, read_keys
from service.access.key_limits import KeyLimits
from service.request_context import REQUEST

_LOG = logging.getLogger(__name__)

_RELOAD_SECONDS = 1.0
"""The shortest time between two checks whether the file has changed."""

_SCHEME = "bearer"


class AccessControl:
    """The API keys of a file; used on the event loop only.

    Args:
        path: The path of the file.
        limits: The limits of the keys.
        clock: A clock in seconds.

    Attributes:
        limits: The limits of the keys.
        failure: The reason why the file as it is now cannot be used; empty if it is in use.

    Raises:
        ArtifactError: The file cannot be read. Without keys nothing would be protected.
    """

    def __init__(
        self, path: Path, limits: KeyLimits, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._path = path
        self.limits = limits
        self._clock = clock
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
        self.limits.forget_all_but(names)
        _LOG.info("%d API keys are in use", len(names))

    def key_named(self, name: str) -> Key | None:
        """Return the key of a name; None if there is none, or not any more."""
        self.refresh()
        found = next((key for key in self._keys if key.name == name), None)
        return None if found is None or found.expired() else found

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
