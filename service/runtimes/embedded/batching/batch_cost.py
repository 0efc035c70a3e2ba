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

_SHORT_SECONDS = 0.05
"""The time of a batch that is never worth splitting, because nobody notices such a wait."""

_DECAY = 0.99
"""The weight of a batch against the next one: about the last 100 batches count."""

_ENOUGH = 8.0
"""The weight of batches below which nothing is concluded."""

_OUTLIER = 2.0
"""The factor by which a batch may be slower than the mean; what is above is cut off. The first run
of a shape and a core that was taken away would otherwise count as fixed costs."""


class BatchCost:
    """Learns the fixed and the marginal time of one graph's batches of one length.

    The regression is of seconds per row on ``1 / rows``, because the error of a measurement
    grows with the length of a batch; and of the differences between one batch and the next,
    because the speed of a machine changes with its load, and the sizes of batches do too. Not
    thread-safe.
    """

    def __init__(self) -> None:
        # Decayed sums over batches, x = 1 / rows and y = seconds / rows, and over differences.
        self._n = self._x = self._y = 0.0
        self._dxdx = self._dxdy = self._dydy = 0.0
        self._last: tuple[float, float] | None = None

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
        dx, dy = (x - self._last[0], y - self._last[1]) if self._last else (0.0, 0.0)
        self._last = x, y
        self._n = _DECAY * self._n + 1
        self._x = _DECAY * self._x + x
        self._y = _DECAY * self._y + y
        self._dxdx = _DECAY * self._dxdx + dx * dx
        self._dxdy = _DECAY * self._dxdy + dx * dy
        self._dydy = _DECAY * self._dydy + dy * dy

    def worthwhile_rows(self, most: int) -> int:
        """Return the number of rows at which a batch is closed.

        It is an upper estimate: the less is known of the costs, the closer it is to ``most``.

        Args:
            most: The most rows that the graph takes.
        """
        if self._n < _ENOUGH:
            return most
        fixed, marginal, error = self._fit()
        upper = fixed + 2 * error
        if not math.isfinite(upper) or upper < 0 or marginal <= 0:
            return most  # not known, or not such costs
        rows = max(upper / (_FIXED_SHARE * marginal), _SHORT_SECONDS / marginal)
        return max(1, min(most, round(rows)))

    def _fit(self) -> tuple[float, float, float]:
        """Return the fixed and the marginal seconds, and the standard error of the fixed ones.

        The error is infinite while all batches were of one size.
        """
        if self._dxdx < 1e-6:
            return 0.0, self._y / self._n, math.inf
        fixed = self._dxdy / self._dxdx
        residual = max(0.0, self._dydy - fixed * self._dxdy) / self._n
        marginal = (self._y - fixed * self._x) / self._n
        return fixed, marginal, math.sqrt(residual / self._dxdx)
