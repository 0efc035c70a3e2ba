"""Balancing of tasks by how fast they converge: dynamic weight averaging (DWA).

Liu et al., 2019: a task's weight is the number of tasks times the softmax of its rate of
descent, so that weights are 1 on average. Losses of single batches are noisy, so we use the
rate over the whole run: a moving average of the loss over its initial value, L / L0.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

LOWEST, HIGHEST = 0.3, 3.0
"""The bounds of a weight."""
_DECAY = 0.95
"""The decay of the moving average of the losses."""
_FIRST_LOSSES = 5
"""The number of losses averaged to L0."""
_TEMPERATURE = 0.5
"""L / L0 runs from 1 to near 0: the slowest task weighs at most e^2 times the fastest."""
_LITERAL_TEMPERATURE, _LITERAL_WINDOW = 2.0, 20
"""Liu et al.'s temperature, and the losses per window, in place of their epoch."""


@dataclass
class Convergence:
    """Statistics of one task's losses.

    Attributes:
        seen: The number of losses.
        average: The moving average.
        first: The mean of the first few, L0.
        window: The sum of the losses of the window that is being filled.
        last: The mean of the last full window; 0 if there is none.
        before: The mean of the window before it; 0 if there is none.
    """

    seen: int = 0
    average: float = 0.0
    first: float = 0.0
    window: float = 0.0
    last: float = 0.0
    before: float = 0.0

    def add(self, loss: float) -> None:
        """Add one more loss."""
        self.average = _DECAY * self.average + (1 - _DECAY) * loss if self.seen else loss
        self.seen += 1
        if self.seen <= _FIRST_LOSSES:
            self.first += (loss - self.first) / self.seen
        self.window += loss
        if self.seen % _LITERAL_WINDOW == 0:
            self.before, self.last = self.last, self.window / _LITERAL_WINDOW
            self.window = 0.0


class Balance:
    """The weights of tasks, computed from their losses.

    Args:
        routes: All tasks that are balanced against each other.
        literal: Whether to weigh by the descent from one window to the next, without bounds.
        enabled: Whether to balance at all; if not, every weight is 1.
    """

    def __init__(
        self, routes: Iterable[str], *, literal: bool = False, enabled: bool = True
    ) -> None:
        self.tasks = {route: Convergence() for route in routes}
        self.literal = literal
        self.enabled = enabled

    def add(self, route: str, loss: float) -> None:
        """Add a loss; a loss that is not finite is ignored."""
        if math.isfinite(loss):
            self.tasks[route].add(loss)

    def rate(self, route: str) -> float:
        """Return the rate of a task's loss: 1 if it does not converge, or is not known yet."""
        task = self.tasks[route]
        if self.literal:
            return task.last / task.before if task.before > 0 else 1.0
        if task.seen < _FIRST_LOSSES or task.first <= 0:
            return 1.0
        return task.average / task.first

    def weights(self) -> dict[str, float]:
        """Compute every task's weight; 1 on average before the bounds."""
        if not self.enabled:
            return dict.fromkeys(self.tasks, 1.0)
        temperature = _LITERAL_TEMPERATURE if self.literal else _TEMPERATURE
        rates = {route: self.rate(route) / temperature for route in self.tasks}
        highest = max(rates.values())
        raised = {route: math.exp(rate - highest) for route, rate in rates.items()}
        mean = sum(raised.values()) / len(raised)
        weights = {route: value / mean for route, value in raised.items()}
        if self.literal:
            return weights
        return {route: min(HIGHEST, max(LOWEST, value)) for route, value in weights.items()}

    def state(self) -> dict[str, dict[str, Any]]:
        """Return the statistics that a stopped run needs to resume."""
        return {route: asdict(task) for route, task in self.tasks.items()}

    def restore(self, state: Mapping[str, Mapping[str, Any]]) -> None:
        """Restore the statistics from :meth:`state`."""
        self.tasks = {route: Convergence(**values) for route, values in state.items()}
