"""A canary whose candidate is loaded: which callers get it, and what it did."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import blake2b

from omnivec2.canary.canary_state import Canary
from service.canary.version_monitor import VersionMonitor
from service.pipeline.host_stages import Head
from service.request_context import RequestContext


class RunningCanary:
    """A canary whose candidate is loaded.

    Args:
        canary: Its share and limits.
        candidate: The head of the candidate.

    Attributes:
        canary: Its share and limits.
        candidate: The head of the candidate.
        version: The version of the candidate.
        monitor: The record of what both versions did lately, in this process.
    """

    def __init__(self, canary: Canary, candidate: Head) -> None:
        self.canary, self.candidate = canary, candidate
        self.version = str(canary.version)
        self.monitor = VersionMonitor(canary.limits)

    def takes(self, context: RequestContext) -> bool:
        """Whether a caller gets the candidate: by its API key, or else by the request's id.

        The version is part of the hash, so that the next canary is borne by others.
        """
        caller = f"key {context.key.name}" if context.key is not None else context.request_id
        text = f"{self.canary.route} {self.version} {caller}"
        digest = blake2b(text.encode(), digest_size=8).digest()
        return int.from_bytes(digest) / 2**64 * 100.0 < self.canary.share


def with_candidates(heads: Sequence[Head], canaries: Mapping[str, RunningCanary]) -> Sequence[Head]:
    """Return heads with those that have one of these canaries replaced by its candidate."""
    return [
        canaries[head.spec.route].candidate if head.spec.route in canaries else head
        for head in heads
    ]
