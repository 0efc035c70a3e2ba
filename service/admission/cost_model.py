"""How much work a request is: guessed from its head, measured while it is done.

Work is counted in tokens and weighed by the seconds that a token of the same head has
taken so far, because a token of a video costs more (its decoding) than one of a text.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from omnivec2.parts import LENGTH_BUCKETS
from omnivec2.preprocess import Array
from omnivec2.spec import HeadSpec

_SECONDS_PER_TOKEN = 1e-4
"""Of a head that has not answered yet: a transformer of 6 layers and width 384 on one core."""

_FIXED_TOKENS = LENGTH_BUCKETS[3]
"""Tokens of a sample whose shape is fixed; that they are others is in the seconds per token."""

_BYTES_PER_TOKEN = 4.0
"""Of a head whose inputs have no fixed length and that has not answered yet."""

_MEMORY_SECONDS = 4.0
"""Costs and the drain rate are remembered as long: what slows all requests down for a moment is
in both, and so not in the time that a request would wait."""

_LEAST_ANSWERS = 20
"""Are remembered even if they are older."""


def is_fixed(spec: HeadSpec) -> bool:
    """Whether every sample of a head is of one size."""
    return all(size >= 0 for tensor in spec.inputs for size in tensor.shape)


def tokens_of(spec: HeadSpec, batch: Mapping[str, Array]) -> int:
    """Tokens of a batch, padding included, since it is computed too."""
    rows: int = next(iter(batch.values())).shape[0]
    return rows * tokens_of_sample(spec, {name: array[0] for name, array in batch.items()})


def tokens_of_sample(spec: HeadSpec, sample: Mapping[str, Array]) -> int:
    """Tokens of one sample: the product of the axes that are not fixed, of the largest tensor."""
    if is_fixed(spec):
        return _FIXED_TOKENS
    counts: list[int] = []
    for tensor in spec.inputs:
        axes = zip(tensor.shape, sample[tensor.name].shape, strict=True)
        counts.append(math.prod(have for want, have in axes if want < 0))
    return max(counts)


class Cost:
    """What requests of one kind are likely to cost, learned from those that were answered.

    Args:
        specs: the heads that such a request asks.
    """

    def __init__(self, specs: Sequence[HeadSpec]) -> None:
        self._fixed = all(map(is_fixed, specs))
        self.seconds_per_token = _SECONDS_PER_TOKEN * len(specs)
        self._answers = 0
        self._learned_at = 0.0
        # Sums of the weighted least squares of tokens over bytes, and what follows from them.
        self._count = self._x = self._y = self._xx = self._xy = 0.0
        self._base = self._slope = 0.0

    def tokens(self, nbytes: int | None) -> float:
        """Tokens of a request whose body is so long (None: it does not say), at least one."""
        if self._answers == 0:
            fewest, most = LENGTH_BUCKETS[0], LENGTH_BUCKETS[-1]
            if self._fixed or nbytes is None:
                return _FIXED_TOKENS
            return min(max(fewest, nbytes / _BYTES_PER_TOKEN), most)
        if nbytes is None:
            return max(1.0, self._y / self._count)
        return max(1.0, self._base + self._slope * nbytes)

    def learn(self, nbytes: int, tokens: float, seconds: float, now: float) -> None:
        """A request was answered.

        Args:
            nbytes: length of its body.
            tokens: of all its inputs.
            seconds: of work it took, by all threads together.
            now: when that was, in seconds of any clock.
        """
        self._answers += 1
        aged = 1.0 - math.exp((self._learned_at - now) / _MEMORY_SECONDS)
        self._learned_at = now
        # At first the mean of what there is: a guess must not outlive the first answers.
        first = 1.0 / self._answers if self._answers <= _LEAST_ANSWERS else 0.0
        weight = max(first, min(aged, 1.0 / _LEAST_ANSWERS))
        self.seconds_per_token += weight * (seconds / max(tokens, 1.0) - self.seconds_per_token)
        keep = 1.0 - min(aged, 1.0 / _LEAST_ANSWERS)
        self._count = self._count * keep + 1.0
        self._x = self._x * keep + nbytes
        self._y = self._y * keep + tokens
        self._xx = self._xx * keep + float(nbytes) * nbytes
        self._xy = self._xy * keep + nbytes * tokens
        self._fit()

    def _fit(self) -> None:
        """A line of no negative slope through the answers; a proportion if it starts below 0."""
        spread = self._count * self._xx - self._x * self._x
        # Bodies of one length say nothing of a slope, and rounding must not invent one.
        known = spread > 1e-6 * self._count * self._xx
        slope = (self._count * self._xy - self._x * self._y) / spread if known else 0.0
        self._slope = max(0.0, slope)
        self._base = (self._y - self._slope * self._x) / self._count
        if self._base < 0.0:
            self._base, self._slope = 0.0, self._y / self._x


class DrainRate:
    """Seconds of work that are done per second in which there is work: about the cores in use.

    Args:
        initial: until something has been measured.
    """

    def __init__(self, initial: float) -> None:
        self._busy = _MEMORY_SECONDS / 4
        self._done = initial * self._busy
        # However slow it looks, for example while one long input is decoded.
        self._least = initial / 4

    @property
    def value(self) -> float:
        """Work over time, most of it of the last seconds."""
        return max(self._least, self._done / self._busy)

    def advance(self, busy_seconds: float) -> None:
        """Time has passed in which there was work."""
        keep = math.exp(-busy_seconds / _MEMORY_SECONDS)
        self._busy = self._busy * keep + busy_seconds
        self._done *= keep

    def add(self, seconds: float) -> None:
        """Work has been done."""
        self._done += seconds
