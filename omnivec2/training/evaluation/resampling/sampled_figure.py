"""A figure over samples, and its interval by the percentile bootstrap (Efron, 1979)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from omnivec2.preprocess import Array

RESAMPLES = 1000
"""How often samples are drawn anew: the ends of a 95 % interval are then stable to about a tenth
of its width."""

_LEVEL = 0.95
_SEED = 0
_FEWEST_SAMPLES = 2


@dataclass(frozen=True)
class SampledFigure:
    """A figure that can be computed over any choice of its samples.

    Attributes:
        samples: The number of samples.
        measure: A function from the indices of samples, int64 [any], to the figure over them; an
            index may come several times.
        block: The number of neighbouring samples that are drawn together, because they overlap or
            share their source: one for independent samples.
    """

    samples: int
    measure: Callable[[Array], float]
    block: int = 1

    @property
    def value(self) -> float:
        """The figure over all samples."""
        return self.measure(np.arange(self.samples))

    def interval(self, resamples: int = RESAMPLES) -> tuple[float, float] | None:
        """Return the ends of the interval that holds 95 % of the figures over drawn samples.

        Args:
            resamples: The number of draws, which are the same in every run.

        Returns:
            The lower and the upper end; None where there are too few samples or blocks to draw
            from, or the figure of no draw is defined.
        """
        starts = np.arange(0, self.samples, self.block)
        if len(starts) < _FEWEST_SAMPLES:
            return None
        generator = np.random.default_rng(_SEED)
        figures = np.array([
            self.measure(self._rows(generator.choice(starts, len(starts))))
            for _ in range(resamples)
        ])  # fmt: skip
        known = figures[np.isfinite(figures)]
        if not len(known):
            return None
        tail = (1 - _LEVEL) / 2
        low, high = np.quantile(known, [tail, 1 - tail])
        return float(low), float(high)

    def _rows(self, starts: Array) -> Array:
        """Return the samples of blocks by their first samples; the last may be shorter."""
        if self.block == 1:
            return starts
        rows = (starts[:, None] + np.arange(self.block)).ravel()
        return rows[rows < self.samples]


def mean_figure(values: Array) -> SampledFigure:
    """Return the mean of one value per sample, [n]."""
    return SampledFigure(len(values), lambda rows: float(values[rows].mean()))
