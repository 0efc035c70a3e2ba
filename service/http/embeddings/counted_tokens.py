"""The tokens of a request, for the usage that OpenAI's answers state."""

from __future__ import annotations

from service.request_context import WorkMeter


class CountedTokens:
    """A ``WorkMeter`` that also counts the tokens of all inputs.

    Args:
        meter: The meter of the request.

    Attributes:
        total: The tokens so far: word pieces of texts, or the positions that the network computes
            for inputs of other modalities.
    """

    def __init__(self, meter: WorkMeter) -> None:
        self._meter = meter
        self.total = 0

    def expect_inputs(self, count: int) -> None:
        """Record how many inputs of the request will be prepared."""
        self.total = 0
        self._meter.expect_inputs(count)

    def record_tokens(self, tokens: int) -> None:
        """Add the tokens of one more prepared input."""
        self.total += tokens
        self._meter.record_tokens(tokens)

    def record_seconds(self, seconds: float) -> None:
        """Add the time that a thread, or the runtime, has worked for the request."""
        self._meter.record_seconds(seconds)


class InputTokens(CountedTokens):
    """A ``WorkMeter`` of one of several inputs, whose number has been recorded for all."""

    def expect_inputs(self, count: int) -> None:
        """Record nothing: the request has."""
