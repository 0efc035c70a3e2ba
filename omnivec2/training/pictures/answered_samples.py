"""Some inputs with the truth and the answer: typical ones, and those that went worst."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

import numpy as np

from omnivec2.preprocess import Array
from omnivec2.training.evaluation.all_heads.head_tests import HeadAnswers
from omnivec2.training.modalities import modality_training
from omnivec2.training.pictures.canvas import PLAIN, RIGHT, WRONG, picture
from omnivec2.training.pictures.input_drawings import TableRow

SHOWN = 8
"""Inputs of a head that are shown."""

COLUMNS = 4
PANEL_INCHES = (2.0, 1.9)
_CAPTION_CHARACTERS, _CELL_CHARACTERS = 34, 240
_COLOURS = {True: RIGHT, False: WRONG, None: PLAIN}


@dataclass(frozen=True)
class Caption:
    """The caption above an input.

    Attributes:
        truth: The true answer.
        answer: The head's answer.
        right: Whether the answer is right; None where it is neither right nor wrong.
    """

    truth: str
    answer: str
    right: bool | None = None

    @property
    def colour(self) -> str:
        """The colour of the caption: green, red, or neither."""
        return _COLOURS[self.right]

    def __str__(self) -> str:
        lines = (f"truth: {self.truth}", f"answer: {self.answer}")
        return "\n".join(textwrap.shorten(x, _CAPTION_CHARACTERS, placeholder="…") for x in lines)


def pick(errors: Array) -> list[int]:
    """Choose the answers to show: up to half the worst, the others typical.

    Args:
        errors: The errors, float [n], 0 for a right answer, larger for worse ones.

    Returns:
        At most :data:`SHOWN` indices: right ones evenly over the part (where no answer is
        simply right, evenly by their error), then the worst, the worst of all last.
    """
    order = np.argsort(errors, kind="stable")
    worst = [int(i) for i in order[-(SHOWN // 2) :] if errors[i] > 0]
    rest = order[: len(order) - len(worst)]
    if (right := np.flatnonzero(np.asarray(errors) <= 0)).size:
        rest = right
    count = min(SHOWN - len(worst), len(rest))
    typical = rest[np.linspace(0, len(rest) - 1, count).round().astype(int)]
    return [*map(int, typical), *worst]


def show_samples(
    measured: HeadAnswers, picked: Sequence[int], captions: Sequence[Caption], path: Path
) -> list[str]:
    """Show the picked inputs with their captions, as a picture or as a table.

    Args:
        measured: The answers that were picked from.
        picked: The indices of the picked ones.
        captions: The caption of each.
        path: The PNG to write, if the modality is one that is drawn.

    Returns:
        Lines of Markdown.
    """
    display = modality_training(measured.task.modality).display
    if isinstance(display, TableRow):
        return _table(display, measured, picked, captions)
    with picture(path, len(picked), COLUMNS, PANEL_INCHES) as (_, panels):
        for axes, index, caption in zip(panels, picked, captions, strict=True):
            display.draw(axes, measured.sample(index))
            axes.set_xticks([])
            axes.set_yticks([])
            axes.set_title(str(caption), color=caption.colour, loc="left")
    return [link("sample inputs", path)]


def _table(
    display: TableRow, measured: HeadAnswers, picked: Sequence[int], captions: Sequence[Caption]
) -> list[str]:
    rows = [display.cells(measured.sample(index), measured.task) for index in picked]
    names = list(dict.fromkeys(name for row in rows for name in row))
    lines = [_row(["truth", "answer", *names]), _row(["---"] * (2 + len(names)))]
    for caption, row in zip(captions, rows, strict=True):
        answer = f"**{caption.answer}**" if caption.right is False else caption.answer
        lines.append(_row([caption.truth, answer, *(row.get(name, "") for name in names)]))
    return lines


def _row(cells: Sequence[str]) -> str:
    """Return a row of a Markdown table, with the markup in its cells escaped."""
    short = (textwrap.shorten(cell, _CELL_CHARACTERS, placeholder=" …") for cell in cells)
    return f"| {' | '.join(escape(cell, quote=False).replace('|', '&#124;') for cell in short)} |"


def link(title: str, path: Path) -> str:
    """Return the Markdown of a picture in the report's folder of pictures."""
    return f"![{title}]({path.parent.name}/{path.name})"
