"""How much the gateway takes on at the same time; what is over it is told to come back."""

from __future__ import annotations

from types import TracebackType

from omnivec2.errors import OverloadedError


class Admission:
    """Counts requests and the bytes they hold; used on the event loop only.

    Args:
        max_requests: requests worked on at the same time.
        max_bytes: bytes of bodies held at the same time.
    """

    def __init__(self, max_requests: int, max_bytes: int) -> None:
        self._max_requests = max_requests
        self._max_bytes = max_bytes
        self.requests = 0
        self.bytes = 0

    def enter(self) -> Ticket:
        """Admit one request, for a ``with`` block.

        Raises:
            OverloadedError: there are as many as may be.
        """
        if self.requests >= self._max_requests:
            message = f"{self.requests:,} requests are being worked on already"
            raise OverloadedError(message, reason="requests")
        return Ticket(self)

    def take(self, count: int) -> None:
        """Account for bytes that arrived.

        Raises:
            OverloadedError: bodies hold as much memory as they may.
        """
        if self.bytes + count > self._max_bytes:
            message = f"request bodies hold {self.bytes:,} bytes already"
            raise OverloadedError(message, reason="bytes")
        self.bytes += count


class Ticket:
    """One admitted request; gives back its place and its bytes at the end."""

    def __init__(self, admission: Admission) -> None:
        self._admission = admission
        self._bytes = 0

    def take(self, count: int) -> None:
        """Account for ``count`` more bytes of this request's body; see ``Admission.take``."""
        self._admission.take(count)
        self._bytes += count

    def __enter__(self) -> Ticket:
        self._admission.requests += 1
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._admission.requests -= 1
        self._admission.bytes -= self._bytes
