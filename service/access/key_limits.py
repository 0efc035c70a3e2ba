"""What a key may use: requests per second, requests at the same time, and compute-seconds.

Limits hold over all gateways if they share a store, and else in this process alone. What the store
grants is counted here too: if the store goes away, each of N gateways goes on with an N-th of every
limit, from where it stood.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from omnivec2.errors import OverloadedError
from service.access.api_keys import Key
from service.access.key_usage import KeyUsage, Usage
from service.access.shared_limits import SharedLimits, Verdict
from service.access.token_bucket import BucketLimit, TokenBucket
from service.shared_state.shared_store import StoreAwayError

_LEAST_BURST = 1.0
"""The tokens that a bucket of requests holds at least, or none would ever be granted."""


def request_limit(key: Key) -> BucketLimit | None:
    """Return the limit on the requests of a key; None if there is none."""
    rate = key.requests_per_second
    return None if rate is None else BucketLimit(rate, float(key.burst or max(_LEAST_BURST, rate)))


def compute_limit(key: Key) -> BucketLimit | None:
    """Return the limit on the compute-seconds of a key; None if there is none."""
    if (per_minute := key.compute_seconds_per_minute) is None:
        return None
    return BucketLimit(per_minute / 60.0, key.compute_burst_seconds or per_minute)


@dataclass
class _LocalUse:
    """What a key uses of its limits in this process.

    Attributes:
        requests: The bucket of its requests.
        compute: The bucket of its compute-seconds.
        concurrent: Its requests under way.
        refused_until: The time until which the store has said that there is no token.
    """

    requests: TokenBucket
    compute: TokenBucket
    concurrent: int = 0
    refused_until: float = 0.0


@dataclass
class KeyLimits:
    """The limits of all keys; used on the event loop only.

    Attributes:
        usage: The record of what the keys have used.
        shared: The limits over all gateways, if they share a store.
        on_fallback: The callback for every decision that the store could not make.
        clock: A clock in seconds.
    """

    usage: KeyUsage
    shared: SharedLimits | None = None
    on_fallback: Callable[[], None] = lambda: None
    clock: Callable[[], float] = time.monotonic
    _uses: dict[str, _LocalUse] = field(default_factory=dict)

    def forget_all_but(self, names: Collection[str]) -> None:
        """Forget what other keys use, unless it is in use; what is remembered may have changed."""
        # A key that is in use keeps its count until its requests are answered.
        self._uses = {n: use for n, use in self._uses.items() if n in names or use.concurrent}
        for use in self._uses.values():
            use.refused_until = 0.0

    async def enter(self, key: Key) -> KeyUse:
        """Count a request of a key until ``KeyUse.leave`` is called.

        Raises:
            OverloadedError: The key has used up its rate, or has as many requests under way as
                its limit allows.
        """
        local = self._local(key.name)
        limit = request_limit(key)
        if limit and (wait := local.refused_until - self.clock()) > 0:
            self._refuse(key, Verdict(retry_after_seconds=wait))
        use = KeyUse(self, key)
        verdict = Verdict()
        if limit or key.max_concurrent:
            try:
                verdict = await self._take(key, local, limit, use)
            except BaseException:
                use.drop_lease()
                raise
        if not verdict.is_granted:
            use.drop_lease()
            self._refuse(key, verdict)
        local.concurrent += 1
        self.usage.add(key.name, Usage(requests=1))
        return use

    async def reserve(self, key: Key, seconds: float) -> None:
        """Take the compute-seconds that a request is expected to take.

        Raises:
            OverloadedError: The key has used up its compute-seconds.
        """
        if (limit := compute_limit(key)) is None:
            return
        bucket = self._local(key.name).compute
        verdict = None
        if self.shared is not None:
            try:
                verdict = await self.shared.take_compute(key.name, seconds, limit)
            except StoreAwayError:
                self.on_fallback()
            else:
                bucket.draw(seconds, limit.share(self.replicas), self.clock())
        if verdict is None:
            wait = bucket.take(seconds, limit.share(self.replicas), self.clock())
            verdict = Verdict(retry_after_seconds=wait)
        if not verdict.is_granted:
            self.usage.add(key.name, Usage(refused=1))
            raise OverloadedError(
                f"the key {key.name} may use {key.compute_seconds_per_minute:g} compute-seconds"
                " per minute",
                retry_after_seconds=verdict.retry_after_seconds,
                reason="key",
            )

    def settle(self, key: Key, reserved: float, seconds: float) -> None:
        """Replace what was reserved for a request by what it took."""
        self.usage.add(key.name, Usage(compute_seconds=seconds))
        if (limit := compute_limit(key)) is None:
            return
        bucket = self._local(key.name).compute
        bucket.give_back(reserved - seconds, limit.share(self.replicas), self.clock())
        if self.shared is not None and self.shared.store.is_up:
            self.shared.settle_compute(key.name, seconds - reserved, limit)

    async def leave(self, key: Key, lease: str) -> None:
        """Count a request that ends."""
        self._local(key.name).concurrent -= 1
        if lease and self.shared is not None:
            await self.shared.release(key.name, lease)

    @property
    def replicas(self) -> int:
        """The number of gateways among which limits are divided without the store."""
        return self.shared.store.replicas if self.shared is not None else 1

    def _local(self, name: str) -> _LocalUse:
        if (use := self._uses.get(name)) is None:
            now = self.clock()
            use = self._uses[name] = _LocalUse(TokenBucket(now), TokenBucket(now))
        return use

    async def _take(
        self, key: Key, local: _LocalUse, limit: BucketLimit | None, use: KeyUse
    ) -> Verdict:
        """Take a token and a lease from the store, or here if it is away."""
        if self.shared is None:
            return self._take_here(key, local, limit)
        if key.max_concurrent is not None:
            use.lease = self.shared.new_lease(key.name)
        try:
            verdict = await self.shared.take(key.name, limit, key.max_concurrent, use.lease)
        except StoreAwayError:
            self.on_fallback()
            return self._take_here(key, local, limit)
        now = self.clock()
        if limit and verdict.is_granted:
            local.requests.draw(1.0, limit.share(self.replicas, _LEAST_BURST), now)
        local.refused_until = now + verdict.retry_after_seconds
        return verdict

    def _take_here(self, key: Key, local: _LocalUse, limit: BucketLimit | None) -> Verdict:
        """Take a token of this gateway's share of the limits."""
        most = key.max_concurrent
        if most is not None and local.concurrent >= max(1, most // self.replicas):
            return Verdict(running=local.concurrent)
        if limit is None:
            return Verdict()
        share = limit.share(self.replicas, _LEAST_BURST)
        return Verdict(retry_after_seconds=local.requests.take(1.0, share, self.clock()))

    def _refuse(self, key: Key, verdict: Verdict) -> None:
        self.usage.add(key.name, Usage(refused=1))
        if verdict.running:
            raise OverloadedError(
                f"the key {key.name} has {verdict.running:,} requests under way, which is its"
                " limit",
                reason="key",
            )
        raise OverloadedError(
            f"the key {key.name} may send {key.requests_per_second:g} requests per second",
            retry_after_seconds=verdict.retry_after_seconds,
            reason="key",
        )


@dataclass
class KeyUse:
    """One request of a key: what it uses of the key's limits. It is its ``ComputeBudget``.

    Attributes:
        limits: The limits of all keys.
        key: The key.
        lease: The name of its lease in the store; empty without one.
    """

    limits: KeyLimits
    key: Key
    lease: str = ""
    _reserved: float = 0.0
    _has_left: bool = False

    async def reserve(self, seconds: float) -> None:
        """Take the compute-seconds that the request is expected to take.

        Raises:
            OverloadedError: The key has used up its compute-seconds.
        """
        await self.limits.reserve(self.key, seconds)
        self._reserved = seconds

    def settle(self, seconds: float) -> None:
        """Replace what was reserved by what the request took."""
        self.limits.settle(self.key, self._reserved, seconds)
        self._reserved = 0.0

    def record_bytes(self, received: int, sent: int) -> None:
        """Count the bytes of the request's and of the answer's body."""
        self.limits.usage.add(self.key.name, Usage(received_bytes=received, sent_bytes=sent))

    async def leave(self) -> None:
        """End the request. Idempotent.

        A transport calls it before it sends the end of an answer: a client may send its next
        request once it has that.
        """
        if not self._has_left:
            self._has_left = True
            await self.limits.leave(self.key, self.lease)

    def drop_lease(self) -> None:
        """Stop renewing the lease: the request was refused, or its client has gone."""
        if self.lease and self.limits.shared is not None:
            self.limits.shared.forget_lease(self.key.name, self.lease)
