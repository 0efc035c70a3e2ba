"""The pages of heads in the report: one function per task family."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.patches import Patch, Rectangle
from scipy.special import softmax

from omnivec2.preprocess import Array
from omnivec2.spec import TaskFamily
from omnivec2.training.evaluation.all_heads.head_tests import HeadAnswers
from omnivec2.training.evaluation.quality_metrics import IGNORE, METRICS, count_unmatched
from omnivec2.training.modalities import modality_training
from omnivec2.training.pictures.answered_samples import (
    COLUMNS,
    Caption,
    link,
    pick,
    show_samples,
)
from omnivec2.training.pictures.canvas import PLAIN, RIGHT, WRONG, picture
from omnivec2.training.pictures.confusion_matrix import confusion, draw_confusion
from omnivec2.training.pictures.form_pages import FORM_PAGES
from omnivec2.training.pictures.input_drawings import Drawing

_SURE = 0.5
"""Least score of a box that is drawn: the service's default."""


def show_head(measured: HeadAnswers, folder: Path) -> list[str]:
    """Draw what a head answered.

    Args:
        measured: a head's answers on a part of its data.
        folder: The folder of pictures.

    Returns:
        lines of Markdown; none if the family has nothing to show.
    """
    task = measured.task
    show = FORM_PAGES.get(task.form) or _FAMILIES.get(task.family)
    stem = folder / measured.task.route.replace("/", "-")
    return [] if show is None else show(measured, stem)


def _beside(stem: Path, what: str) -> Path:
    return stem.with_name(f"{stem.name}-{what}.png")


def _classified(measured: HeadAnswers, stem: Path) -> list[str]:
    """Draw the confusion matrix, right answers, and the wrong ones of highest confidence."""
    labels = measured.task.labels
    scores = softmax(np.stack(measured.answers.predicted).astype(np.float64), axis=1)
    guesses, wanted = scores.argmax(axis=1), np.asarray(measured.answers.wanted)
    sure = scores.max(axis=1)
    path = _beside(stem, "confusion")
    draw_confusion(path, confusion(guesses, wanted, len(labels)), labels)
    picked = pick(np.where(guesses == wanted, 0.0, sure))
    captions = [
        Caption(
            truth=labels[wanted[i]],
            answer=f"{sure[i]:.0%} {labels[guesses[i]]}",
            right=bool(guesses[i] == wanted[i]),
        )
        for i in picked
    ]
    shown = show_samples(measured, picked, captions, _beside(stem, "samples"))
    return [link("confusion matrix", path), "", *shown]


def _regressed(measured: HeadAnswers, stem: Path) -> list[str]:
    """Plot answers over true values for every target; show typical inputs and the worst."""
    targets = measured.task.targets
    found, wanted = (np.stack(x) for x in (measured.answers.predicted, measured.answers.wanted))
    path = _beside(stem, "scatter")
    with picture(path, len(targets), COLUMNS, (2.6, 2.6)) as (_, panels):
        for axes, target, x, y in zip(panels, targets, wanted.T, found.T, strict=True):
            axes.scatter(x, y, s=4, alpha=0.5, linewidths=0)
            ends = [min(x.min(), y.min()), max(x.max(), y.max())]
            axes.plot(ends, ends, color=PLAIN, linewidth=0.6)
            axes.set_title(" ".join((target.name, f"[{target.unit}]" if target.unit else "")))
            axes.set_xlabel("truth")
            axes.set_ylabel("answer")
    picked = pick(np.abs(found - wanted).mean(axis=1))
    captions = [Caption(_numbers(wanted[i]), _numbers(found[i])) for i in picked]
    shown = show_samples(measured, picked, captions, _beside(stem, "samples"))
    return [link("truth and answers", path), "", *shown]


def _numbers(values: Array) -> str:
    return ", ".join(f"{value:.3g}" for value in values)


def _forecast(measured: HeadAnswers, stem: Path) -> list[str]:
    """Plot the end of the history, what followed and what was forecast, in units of the scale."""
    found, wanted = np.stack(measured.answers.means), np.stack(measured.answers.wanted)
    errors = np.square(found - wanted).mean(axis=1)
    scales = measured.data.scales
    assert scales is not None
    picked = pick(errors)
    path = _beside(stem, "samples")
    with picture(path, len(picked), 2, (4.0, 1.7)) as (_, panels):
        for axes, i in zip(panels, picked, strict=True):
            history = measured.sample(i)["values"] / scales[measured.rows[i]]
            horizon = len(wanted[i])
            past = history[-3 * horizon :]
            axes.plot(np.arange(-len(past), 0), past, color=PLAIN, linewidth=0.8, label="history")
            axes.plot(wanted[i], color=RIGHT, linewidth=0.9, label="truth")
            axes.plot(found[i], color=WRONG, linewidth=0.9, label="forecast")
            axes.set_title(f"mse {errors[i]:.3f}", loc="left")
        panels[0].legend(fontsize=6)
    return [link("forecasts", path)]


def _segmented(measured: HeadAnswers, stem: Path) -> list[str]:
    """Draw the confusion matrix of pixels, and pictures beside true and answered masks."""
    if np.ndim(measured.answers.wanted[0]) == 0:  # samples are pixels
        return _classified(measured, stem)
    labels, answers = measured.task.labels, measured.answers
    counts, errors = np.zeros((len(labels), len(labels)), np.int64), []
    for mask, reference in zip(answers.predicted, answers.wanted, strict=True):
        counted = reference != IGNORE
        own = confusion(mask[counted], reference[counted], len(labels))
        counts += own
        errors.append(1 - np.trace(own) / max(own.sum(), 1))
    draw_confusion(confused := _beside(stem, "confusion"), counts, labels)
    picked = pick(np.asarray(errors))
    path = _beside(stem, "samples")
    colours = ListedColormap(_class_colours(len(labels)))
    with picture(path, 3 * len(picked), 6, (1.6, 1.4)) as (figure, panels):
        for place, i in enumerate(picked):
            first, *masks = panels[3 * place : 3 * place + 3]
            _draw_input(first, measured, i)
            first.set_title(f"{errors[i]:.0%} of pixels wrong", loc="left")
            truth = np.ma.masked_equal(answers.wanted[i], IGNORE)
            for axes, mask, title in zip(
                masks, (truth, answers.predicted[i]), ("truth", "answer"), strict=True
            ):
                axes.imshow(mask, cmap=colours, vmin=-0.5, vmax=len(labels) - 0.5)
                axes.set_title(title, loc="left")
            for axes in (first, *masks):
                axes.set_axis_off()
        handles = [Patch(color=colours(i), label=label) for i, label in enumerate(labels)]
        figure.legend(handles=handles, loc="outside lower center", ncols=6)
    return [link("confusion matrix of pixels", confused), "", link("masks", path)]


def _draw_input(axes: Axes, measured: HeadAnswers, index: int) -> None:
    display = modality_training(measured.task.modality).display
    assert isinstance(display, Drawing)
    display.draw(axes, measured.sample(index))


def _class_colours(count: int) -> list[str]:
    tints = ("#4e79a7", "#f28e2b", "#59a14f", "#e15759", "#76b7b2", "#edc948", "#b07aa1",
             "#ff9da7", "#9c755f", "#bab0ac", "#1f3b57", "#7d4a10")  # fmt: skip
    return [tints[i % len(tints)] for i in range(count)]


def _detected(measured: HeadAnswers, stem: Path) -> list[str]:
    """Draw pictures with the true boxes and the answered ones of high confidence."""
    found = [
        {name: array[answer["scores"] >= _SURE] for name, array in answer.items()}
        for answer in measured.answers.predicted
    ]
    wanted = measured.answers.wanted
    apart = [count_unmatched(f, w) for f, w in zip(found, wanted, strict=True)]
    picked = pick(np.array([missed + extra for missed, extra in apart]))
    path = _beside(stem, "samples")
    with picture(path, len(picked), COLUMNS, (2.4, 2.1)) as (figure, panels):
        for axes, i in zip(panels, picked, strict=True):
            _draw_input(axes, measured, i)
            axes.set_axis_off()
            _boxes(axes, wanted[i]["boxes"], [""] * len(wanted[i]["boxes"]), RIGHT)
            names = [measured.task.labels[label] for label in found[i]["labels"]]
            _boxes(axes, found[i]["boxes"], names, WRONG, dashed=True)
            missed, extra = apart[i]
            right = missed + extra == 0
            title = f"{len(wanted[i]['boxes'])} there, {missed} missed, {extra} too many"
            axes.set_title(title, color=RIGHT if right else WRONG, loc="left")
        handles = [Patch(color=RIGHT, label="truth"), Patch(color=WRONG, label="answer")]
        figure.legend(handles=handles, loc="outside lower center", ncols=2)
    return [link("boxes", path)]


def _boxes(
    axes: Axes, boxes: Array, names: list[str], colour: str, *, dashed: bool = False
) -> None:
    """Draw boxes (cx, cy, w, h in 0..1) into a panel that shows a picture."""
    left, right = axes.get_xlim()
    bottom, top = axes.get_ylim()
    for (x, y, w, h), name in zip(boxes, names, strict=True):
        corner = (left + (x - w / 2) * (right - left), top + (y - h / 2) * (bottom - top))
        size = (w * (right - left), h * (bottom - top))
        style = "--" if dashed else "-"
        axes.add_patch(Rectangle(corner, *size, fill=False, color=colour, linestyle=style))
        axes.text(*corner, name, color=colour, fontsize=5, clip_on=True)


def _summarized(measured: HeadAnswers, stem: Path) -> list[str]:
    """Show texts with a reference and what was written; the worst by the task's own metric."""
    measure = METRICS[measured.task.metric].measure
    pairs = list(zip(measured.answers.predicted, measured.answers.wanted, strict=True))
    picked = pick(np.array([1 - measure([written], [wanted]) for written, wanted in pairs]))
    captions = [Caption(truth=pairs[i][1][0], answer=pairs[i][0]) for i in picked]
    return show_samples(measured, picked, captions, _beside(stem, "samples"))


_FAMILIES: dict[TaskFamily, Callable[[HeadAnswers, Path], list[str]]] = {
    TaskFamily.CLASSIFICATION: _classified,
    TaskFamily.REGRESSION: _regressed,
    TaskFamily.FORECASTING: _forecast,
    TaskFamily.SEGMENTATION: _segmented,
    TaskFamily.DETECTION: _detected,
    TaskFamily.SUMMARIZATION: _summarized,
}
