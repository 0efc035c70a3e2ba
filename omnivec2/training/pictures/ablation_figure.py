"""The table of ablations as a picture: what every seed's network reached."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from omnivec2.training.ablation.ablation_table import Cells
from omnivec2.training.pictures.canvas import PLAIN, picture

_COLUMNS, _PANEL_INCHES = 3, (2.6, 1.5)
_SEED = "#8c959f"


def draw_ablation(path: Path, cells: Cells) -> None:
    """Draw a panel per task, with a line per variant: points of seeds, their mean and deviation.

    Args:
        path: The SVG or PNG to write.
        cells: The figures; a variant without figures of a task has an empty line.
    """
    routes, rows = cells.routes, cells.rows
    with picture(path, len(routes), _COLUMNS, _PANEL_INCHES) as (_, panels):
        for column, (axes, route) in enumerate(zip(panels, routes, strict=True)):
            for line, row in enumerate(rows):
                values = cells.values(row.name, route)
                axes.plot(values, [line] * len(values), "o", color=_SEED, markersize=3,
                          gid=f"{row.name} {route}")  # fmt: skip
                if len(values) > 1:
                    deviation = float(np.std(values, ddof=1))
                    axes.errorbar(np.mean(values), line, xerr=deviation, fmt="|", color=PLAIN,
                                  markersize=9, capsize=2, linewidth=1)  # fmt: skip
            leftmost = column % _COLUMNS == 0
            axes.set_yticks(range(len(rows)), [row.name if leftmost else "" for row in rows])
            axes.set_ylim(len(rows) - 0.5, -0.5)  # the first row on top
            axes.grid(axis="x", linewidth=0.3)
            (metric,) = {cell.metric for cell in cells.measured if cell.route == route}
            axes.set_title(f"{route}: {metric}", loc="left")
