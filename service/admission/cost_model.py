"""The work that a request is: estimated from its headers, learned from requests like it.

Work is counted in tokens and weighed by the seconds that a token of the same heads has taken so
far, because a token of a video costs more (its decoding) than a token of a text.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from omnivec2.parts import LENGTH_BUCKETS
from omnivec2.preprocess import Array
from omnivec2.spec import HeadSpec

_SECONDS_PER_TOKEN = 1e-4
"""The cost for a head that has not answered yet: a transformer of 6 layers and width 384 on one
core."""

_FIXED_TOKENS = LENGTH_BUCKETS[3]
"""Tokens of a sample whose shape is fixed; how many they really are is in the seconds per token."""

_BYTES_PER_TOKEN = 4.0
"""The ratio for a head whose inputs have no fixed length and that has not answered yet."""

_MEMORY_SECONDS = 4.0
"""The time constant of both costs and the drain rate: what slows all requests down for a moment is
in both, and so not in the estimated wait."""

_MIN_ANSWERS = 20
"""The number of last answers that count however old they are."""


def has_fixed_shape(spec: HeadSpec) -> bool:
    """Whether every sample of a head has the same shape."""
    return all(size >= 0 for tensor in spec.inputs for size in tensor.shape)


def tokens_of(spec: HeadSpec, batch: Mapping[str, Array]) -> int:
    """Return the tokens of a batch, with its padding, because that is computed too."""
    rows: int = next(iter(batch.values())).shape[0]
    return rows * tokens_of_sample(spec, {name: array[0] for name, array in batch.items()})


def tokens_of_sample(spec: HeadSpec, sample: Mapping[str, Array]) -> int:
    """Return the tokens of one sample: the product of the dynamic axes, of the largest tensor."""
    if has_fixed_shape(spec):
        return _FIXED_TOKENS
    counts: list[int] = []
    for tensor in spec.inputs:
        axes = zip(tensor.shape, sample[tensor.name].shape, strict=True)
        counts.append(math.prod(have for want, have in axes if want < 0))
    return max(counts)


class CostModel:
    """The likely cost of requests of one kind, learned from those that were answered.

    Args:
        specs: The specs of the heads that such a request is for.

    Attributes:
        seconds_per_token: The work on one token, in seconds of one thread.
    """

    def __init__(self, specs: Sequence[HeadSpec]) -> None:
        self._fixed = all(map(has_fixed_shape, specs))
        self.seconds_per_token = _SECONDS_PER_TOKEN * len(specs)
        self._answers = 0
        self._learned_at = 0.0
        # Sums of the weighted least squares of tokens over bytes, and what follows from them.
        self._count = self._x = self._y = self._xx = self._xy = 0.0
        self._base = self._slope = 0.0

    def estimate_tokens(self, nbytes: int | None) -> float:
        """Estimate the tokens of a request from the length of its body, if declared; at least 1."""
        if self._answers == 0:
            fewest, most = LENGTH_BUCKETS[0], LENGTH_BUCKETS[-1]
            if self._fixed or nbytes is None:
                return _FIXED_TOKENS
            return min(max(fewest, nbytes / _BYTES_PER_TOKEN), most)
        if nbytes is None:
            return max(1.0, self._y / self._count)
        return max(1.0, self._base + self._slope * nbytes)

    def learn(self, nbytes: int, tokens: float, seconds: float, now: float) -> None:
        """Update the model with a request that was answered.

        Args:
            nbytes: The length of its body.
            tokens: The tokens of all its inputs.
            seconds: The work it took, in seconds of all threads together.
            now: The time of the answer, in seconds of any clock.
        """
        self._answers += 1
        aged = 1.0 - math.exp((self._learned_at - now) / _MEMORY_SECONDS)
        self._learned_at = now
        # At first the mean of all answers: the initial value must not outlive the first of them.
        first = 1.0 / self._answers if self._answers <= _MIN_ANSWERS else 0.0
        weight = max(first, min(aged, 1.0 / _MIN_ANSWERS))
        self.seconds_per_token += weight * (seconds / max(tokens, 1.0) - self.seconds_per_token)
        keep = 1.0 - min(aged, 1.0 / _MIN_ANSWERS)
        self._count = self._count * keep + 1.0
        self._x = self._x * keep + nbytes
        self._y = self._y * keep + tokens
        self._xx = self._xx * keep + float(nbytes) * nbytes
        self._xy = self._xy * keep + nbytes * tokens
        self._fit()

    def _fit(self) -> None:
        """Fit a line of slope >= 0 through the answers; a proportion if it starts below 0."""
        spread = self._count * self._xx - self._x * self._x
        # Bodies of one length do not determine a slope, and rounding must not invent one.
        known = spread > 1e-6 * self._count * self._xx
        slope = (self._count * self._xy - self._x * self._y) / spread if known else 0.0
        self._slope = max(0.0, slope)
        self._base = (self._y - self._slope * self._x) / self._count
        if self._base < 0.0:
            self._base, self._slope = 0.0, self._y / self._x


class DrainRate:
    """The seconds of work done per second in which there is work: about the cores in use.

    Args:
        initial: The rate until one has been measured.
    """

    def __init__(self, initial: float) -> None:
        self._busy = _MEMORY_SECONDS / 4
        self._done = initial * self._busy
        # A floor, for example while one long input is decoded.
        self._floor = initial / 4

    @property
    def value(self) -> float:
        """The rate, mostly that of the last seconds."""
        return max(self._floor, self._done / self._busy)

    def record_busy_time(self, busy_seconds: float) -> None:
        """Add time in which there was work."""
        keep = math.exp(-busy_seconds / _MEMORY_SECONDS)
        self._busy = self._busy * keep + busy_seconds
        self._done *= keep

    def record_work(self, seconds: float) -> None:
        """Add work that has been done, in seconds of one thread."""
        self._done += seconds
