"""The measured cost of a batch, and how many rows are worth waiting in one.

The time of a batch is about ``fixed + marginal * rows``. More rows save their share of the fixed
part; once that share is small, they only make each other wait. So::

    fixed / rows <= 5 % of marginal      closes a batch
"""

from __future__ import annotations

import math

_FIXED_SHARE = 0.05
"""The fixed time per row, as a share of the marginal one, below which a batch is closed: so
many per cent of the throughput are given up for a shorter wait."""

_SHORT_SECONDS = 0.01
"""The time of a batch that is never worth splitting, because nobody notices such a wait."""

_DECAY = 0.998
"""The weight of a batch against the next one: about the last 500 batches count."""

_ENOUGH = 8.0
"""The weight of batches below which nothing is concluded."""

_OUTLIER = 2.0
"""The factor by which a batch may be slower than expected; what is above is cut off. The first
run of a shape and a core that was taken away would otherwise count as fixed costs."""


class BatchCost:
    """Learns the fixed and the marginal time of one graph's batches of one length.

    The regression is of seconds per row on ``1 / rows``, because the error of a measurement
    grows with the length of a batch. Not thread-safe.
    """

    def __init__(self) -> None:
        # Decayed sums over batches, x = 1 / rows and y = seconds / rows.
        self._n = self._x = self._y = self._xx = self._xy = self._yy = 0.0

    def observe(self, rows: int, seconds: float) -> None:
        """Learn from a batch.

        Args:
            rows: The number of its rows, at least 1.
            seconds: The time it took.
        """
        x, y = 1 / rows, seconds / rows
        if self._n >= _ENOUGH:
            fixed, marginal, _ = self._fit()
            y = min(y, _OUTLIER * max(marginal + fixed * x, self._y / self._n))
        self._n = _DECAY * self._n + 1
        self._x = _DECAY * self._x + x
        self._y = _DECAY * self._y + y
        self._xx = _DECAY * self._xx + x * x
        self._xy = _DECAY * self._xy + x * y
        self._yy = _DECAY * self._yy + y * y

    def worthwhile_rows(self, most: int) -> int:
        """Return the number of rows at which a batch is closed.

        It is an upper estimate: the less is known of the costs, the closer it is to ``most``.

        Args:
            most: The most rows that the graph takes.
        """
        if self._n < _ENOUGH:
            return most
        fixed, marginal, error = self._fit()
        if not math.isfinite(error) or marginal <= 0:
            return most
        rows = max((fixed + 2 * error) / (_FIXED_SHARE * marginal), _SHORT_SECONDS / marginal)
        return max(1, min(most, round(rows)))

    def _fit(self) -> tuple[float, float, float]:
        """Return the fixed and the marginal seconds, and the standard error of the fixed ones.

        The error is infinite while all batches were of one size.
        """
        mean_x, mean_y = self._x / self._n, self._y / self._n
        variance = self._xx / self._n - mean_x**2
        if variance <= 1e-9:
            return 0.0, mean_y, math.inf
        fixed = (self._xy / self._n - mean_x * mean_y) / variance
        residual = max(0.0, self._yy / self._n - mean_y**2 - fixed**2 * variance)
        return fixed, mean_y - fixed * mean_x, math.sqrt(residual / variance / self._n)
