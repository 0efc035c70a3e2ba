"""The population stability index (PSI) of scores against the deciles of a reference.

Below .1 nothing has changed, above .25 the population is another; these limits are those of credit
scoring, where the index comes from.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

_DECILES = 9

_OTHER_POPULATION = 0.25
_NORMAL_QUANTILE = 3.09
"""What one of a thousand normal values exceeds."""

_LEAST_WIDTH = 0.005
"""The least width of a bin: engines and precisions round scores that are all but 1 differently."""


class ScoreBins:
    """The bins between the deciles of a reference.

    Args:
        deciles: The nine deciles of probabilities, ascending. Those that are close to each other,
            as of a head that is nearly always sure, make one bin of a larger share.

        rows: The number of rows that the deciles were measured on.

    Raises:
        ValueError: There are not nine.
    """

    def __init__(self, deciles: Sequence[float], rows: int) -> None:
        if len(deciles) != _DECILES:
            raise ValueError(f"expected {_DECILES} deciles, got {len(deciles)}")
        edges: list[float] = []
        below: list[float] = []
        for place, decile in enumerate(deciles, 1):
            if decile > 1.0 - _LEAST_WIDTH:
                break
            if edges and decile < edges[-1] + _LEAST_WIDTH:
                edges[-1] = decile
                below[-1] = place / (_DECILES + 1)
                continue
            edges.append(decile)
            below.append(place / (_DECILES + 1))
        self._edges = np.array(edges)
        self._shares = np.diff([0.0, *below, 1.0])
        self._rows = rows

    def level(self, scores: int) -> float:
        """Return the index that is of concern for a number of scores.

        It is .25, or what chance exceeds once in a thousand times where there are few scores or few
        rows of the reference: the index is then a chi-squared number times (1 / scores + 1 / rows).
        """
        freedom = len(self._edges)
        part = 2.0 / (9.0 * max(freedom, 1))
        chance = freedom * (1.0 - part + _NORMAL_QUANTILE * part**0.5) ** 3  # Wilson and Hilferty
        return max(_OTHER_POPULATION, float(chance) * (1.0 / scores + 1.0 / max(self._rows, 1)))

    def index(self, scores: Sequence[float]) -> float:
        """Return the index of some scores; at least one."""
        places = np.searchsorted(self._edges, np.array(scores), side="left")
        counts = np.bincount(places, minlength=len(self._shares))
        # A bin without scores would make the index infinite.
        shares = np.maximum(counts, 0.5) / max(len(scores), 1)
        terms = (shares - self._shares) * np.log(shares / self._shares)
        return float(terms.sum())
