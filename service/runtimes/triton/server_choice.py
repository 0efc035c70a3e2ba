"""Which of several servers gets the next request: the less busy one of two random ones.

With many gateways, each knows only its own requests, so that the fewest of those alone would be
blind; and the same best server for all would be flooded. Hence two random ones are compared
(Mitzenmacher, "The power of two choices in randomized load balancing", 2001), by what this gateway
has in flight there and by what the server reports to wait for other callers.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Protocol, TypeVar


class Balanced(Protocol):
    """A server that requests are balanced over."""

    @property
    def in_flight(self) -> int:
        """The number of this gateway's requests that it is working on."""

    @property
    def pending_elsewhere(self) -> float | None:
        """The number of other callers' requests that wait there; None if it is not known."""


Server = TypeVar("Server", bound=Balanced)


def choose_server(servers: Sequence[Server], everywhere: Sequence[Balanced]) -> Server:
    """Return the less busy one of two random servers; at equal load it is a random one.

    Args:
        servers: The servers that could answer, at least one.
        everywhere: All servers of this gateway.
    """
    if len(servers) == 1:
        return servers[0]
    # The sample is in random order, and at equal load the first of it is returned.
    one, other = random.sample(servers, 2)
    difference = float(one.in_flight - other.in_flight)
    # A server that is too busy to report must not look idle beside one that reports.
    if one.pending_elsewhere is not None and other.pending_elsewhere is not None:
        waiting = one.pending_elsewhere - other.pending_elsewhere
        difference += own_share(everywhere) * waiting
    return one if difference <= 0 else other


def own_share(servers: Sequence[Balanced]) -> float:
    """Return this gateway's share of all requests, about one divided by the gateways.

    Every gateway sees the same difference between two servers, half a second late. If each made up
    for all of it, N of them would overshoot N-fold, and the load would swing between the servers.
    """
    own = max(1, sum(server.in_flight for server in servers))
    return own / (own + sum(server.pending_elsewhere or 0.0 for server in servers))
