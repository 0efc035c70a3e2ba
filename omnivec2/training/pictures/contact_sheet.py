"""A page that shows examples of every part and class of some tasks, as the network gets them."""

from __future__ import annotations

import base64
import html
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from omnivec2.atomic_files import write_file
from omnivec2.spec import DataSource, Modality, PreprocessSpec, TaskFamily
from omnivec2.training.data.base import Split, TaskData
from omnivec2.training.data.blocks.checks.task_check import ShownExample, TaskCheck
from omnivec2.training.data.blocks.splits import PARTS
from omnivec2.training.modalities import modality_training
from omnivec2.training.pictures.canvas import RIGHT, picture
from omnivec2.training.pictures.input_drawings import Drawing

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLUMNS = 6
_PANEL_INCHES = (1.9, 1.9)
_LONGEST_CAPTION = 34
_PAGE = """<!doctype html>
<meta charset="utf-8">
<title>Contact sheet</title>
<style>
body {{ font: 14px/1.4 system-ui, sans-serif; margin: 2em auto; max-width: 1100px; }}
img {{ max-width: 100%; }}
table {{ border-collapse: collapse; }}
td, th {{ border: 1px solid #ccc; padding: 2px 8px; text-align: left; }}
</style>
{body}
"""


def write_contact_sheet(path: Path, checks: Sequence[TaskCheck]) -> None:
    """Write one HTML file, with its pictures in it.

    Args:
        path: The file to write.
        checks: The checked tasks, with the examples to show.
    """
    body = "\n".join(_task_section(check) for check in checks)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_file(path, _PAGE.format(body=body).encode())


def _task_section(check: TaskCheck) -> str:
    counts = ", ".join(f"{part} {count:,}" for part, count in check.counts.items())
    lines = [f"<h1>{html.escape(check.route)}</h1>", f"<p>{check.kind}: {counts}</p>"]
    modality = Modality(check.route.partition("/")[0])
    display = modality_training(modality).display
    for part in PARTS:
        shown = [one for one in check.shown if one.part == part]
        shown.sort(key=lambda one: (one.caption, str(one.origin)))
        if not shown:
            continue
        lines.append(f"<h2>{part}</h2>")
        if isinstance(display, Drawing):
            lines.append(_drawn(shown, display, TaskFamily(check.family)))
        else:
            task = _task_of(check, modality)
            cells = [display.cells(one.sample, task) for one in shown]
            lines.append(_table(shown, cells))
    return "\n".join(lines)


def _drawn(shown: Sequence[ShownExample], display: Drawing, family: TaskFamily) -> str:
    """Return a picture of the inputs, with their targets on them."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "sheet.png"
        with picture(path, len(shown), _COLUMNS, _PANEL_INCHES) as (_, panels):
            for axes, one in zip(panels, shown, strict=True):
                display.draw(axes, one.sample)
                _draw_target(axes, one.target, family)
                axes.set_title(f"{_cut(one.caption)}\n{_cut(str(one.origin))}", loc="left")
                axes.set_xticks([])
                axes.set_yticks([])
        data = base64.b64encode(path.read_bytes()).decode()
    return f'<img alt="examples" src="data:image/png;base64,{data}">'


def _draw_target(axes: Axes, target: Any, family: TaskFamily) -> None:
    """Draw boxes and masks over the picture they belong to."""
    if family is TaskFamily.DETECTION:
        left, right = axes.get_xlim()
        bottom, top = axes.get_ylim()
        for x, y, width, height in np.asarray(target["boxes"]):
            x0, x1 = (left + (x + side * width / 2) * (right - left) for side in (-1, 1))
            y0, y1 = (top + (y + side * height / 2) * (bottom - top) for side in (-1, 1))
            axes.plot([x0, x1, x1, x0, x0], [y0, y0, y1, y1, y0], color=RIGHT, linewidth=0.8)
    elif np.ndim(target) == 2 and axes.images:
        mask = np.ma.masked_equal(np.asarray(target), 255)
        extent = axes.images[0].get_extent()
        axes.imshow(mask, cmap="tab20", alpha=0.5, extent=extent, interpolation="nearest")


def _table(shown: Sequence[ShownExample], cells: Sequence[dict[str, str]]) -> str:
    """Return a table of the inputs that are shown as text."""
    names = list(dict.fromkeys(name for row in cells for name in row))
    head = "".join(f"<th>{html.escape(name)}</th>" for name in ("from", *names, "target"))
    rows = [
        "".join(
            f"<td>{html.escape(text)}</td>"
            for text in (str(one.origin), *(row.get(name, "") for name in names), one.caption)
        )
        for one, row in zip(shown, cells, strict=True)
    ]
    return f"<table><tr>{head}</tr>{''.join(f'<tr>{row}</tr>' for row in rows)}</table>"


def _task_of(check: TaskCheck, modality: Modality) -> TaskData:
    """Return a task without samples, whose parameters say what a row's cells mean."""
    empty = Split([], [])
    version = modality_training(modality).preprocessor.version
    return TaskData(
        route=check.route,
        family=TaskFamily(check.family),
        preprocess=PreprocessSpec(name=modality, version=version, parameters=check.parameters),
        splits=dict.fromkeys(PARTS, empty),
        metric="",
        test_name="",
        sources=(DataSource(name="", licence=""),),
    )


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST_CAPTION else f"…{text[1 - _LONGEST_CAPTION :]}"
