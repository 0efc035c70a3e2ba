"""Figures without a window: matplotlib's objects, drawn straight into files."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from omnivec2.atomic_files import write_file

_STYLE = {
    "font.size": 7,
    "axes.titlesize": 7,
    "text.parse_math": False,  # a dollar in a label is a dollar
    "svg.fonttype": "none",
    "svg.hashsalt": "omnivec2",
    "savefig.dpi": 90,
}
# What would differ from run to run.
_METADATA = {"png": {"Software": None}, "svg": {"Date": None}}

RIGHT, WRONG, PLAIN = "#1a7f37", "#b42318", "#222222"


@contextmanager
def picture(
    path: Path, panels: int, columns: int, panel: tuple[float, float]
) -> Iterator[tuple[Figure, Sequence[Axes]]]:
    """Open a grid of panels, which is written at the end of the block.

    Args:
        path: The file to write; its suffix, ``.png`` or ``.svg``, is the format.
        panels: The number of panels.
        columns: The number of panels side by side, at most.
        panel: The width and height of a panel in inches.

    Yields:
        The figure and its panels, row by row.
    """
    columns = max(1, min(columns, panels))
    rows = max(1, math.ceil(panels / columns))
    kind = path.suffix.removeprefix(".")
    with rc_context(_STYLE):  # type: ignore[arg-type]
        size = (columns * panel[0], rows * panel[1])
        figure = Figure(figsize=size, layout="constrained")
        axes = list(figure.subplots(rows, columns, squeeze=False).flat)
        for unused in axes[panels:]:
            unused.set_axis_off()
        yield figure, axes[:panels]
        file = io.BytesIO()
        figure.savefig(file, format=kind, metadata=_METADATA[kind])
    path.parent.mkdir(parents=True, exist_ok=True)
    write_file(path, file.getvalue())
