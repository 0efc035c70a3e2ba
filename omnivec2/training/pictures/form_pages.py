"""The pages of heads in the report whose targets have a form of their own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from omnivec2.preprocess import Array
from omnivec2.training.data.base import TargetForm
from omnivec2.training.evaluation.all_heads.head_tests import HeadAnswers
from omnivec2.training.modalities import modality_training
from omnivec2.training.pictures.answered_samples import Caption, link, pick, show_samples
from omnivec2.training.pictures.canvas import picture
from omnivec2.training.pictures.input_drawings import Drawing


def _labelled(measured: HeadAnswers, stem: Path) -> list[str]:
    """Show inputs with the labels that apply and those that are answered."""
    labels = np.array(measured.task.labels)
    real = np.stack(measured.answers.wanted) > 0
    found = np.stack(measured.answers.predicted) > 0  # above their thresholds
    picked = pick((real != found).mean(axis=1))
    captions = [
        Caption(
            _names(labels[real[i]]), _names(labels[found[i]]), bool((real[i] == found[i]).all())
        )
        for i in picked
    ]
    return show_samples(measured, picked, captions, stem.with_name(f"{stem.name}-samples.png"))


def _names(labels: Array) -> str:
    return ", ".join(labels.tolist()) or "none"


def _number_maps(measured: HeadAnswers, stem: Path) -> list[str]:
    """Draw pictures beside the true and the answered map of the first quantity."""
    answers = measured.answers
    errors = [
        float(np.nanmean(np.abs(found[0] - wanted[0])))
        for found, wanted in zip(answers.predicted, answers.wanted, strict=True)
    ]
    picked = pick(np.asarray(errors))
    path = stem.with_name(f"{stem.name}-samples.png")
    display = modality_training(measured.task.modality).display
    assert isinstance(display, Drawing)
    unit = measured.task.targets[0].unit
    with picture(path, 3 * len(picked), 6, (1.6, 1.4)) as (_, panels):
        for place, i in enumerate(picked):
            first, *maps = panels[3 * place : 3 * place + 3]
            display.draw(first, measured.sample(i))
            first.set_title(f"error {errors[i]:.3g} {unit}", loc="left")
            real = answers.wanted[i][0]
            ends = {"vmin": np.nanmin(real), "vmax": np.nanmax(real)}
            for axes, values, title in zip(
                maps, (real, answers.predicted[i][0]), ("truth", "answer"), strict=True
            ):
                axes.imshow(values, cmap="viridis", **ends)
                axes.set_title(title, loc="left")
            for axes in (first, *maps):
                axes.set_axis_off()
    return [link("maps", path)]


def _nothing(measured: HeadAnswers, stem: Path) -> list[str]:
    del measured, stem
    return []


FORM_PAGES: Mapping[TargetForm, Callable[[HeadAnswers, Path], list[str]]] = {
    TargetForm.MULTI_LABEL: _labelled,
    TargetForm.ANOMALY: _labelled,
    TargetForm.MAP: _number_maps,
    TargetForm.POINTS: _nothing,
    TargetForm.IDENTITY: _nothing,
}
