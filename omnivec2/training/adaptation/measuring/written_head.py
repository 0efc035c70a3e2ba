"""The figures of a head as it was written, on the test part."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from omnivec2.network.fc_head import FullyConnectedHead
from omnivec2.network.omnivec2 import module_name
from omnivec2.network.saved_network import load_network
from omnivec2.preprocess import Array
from omnivec2.training.adaptation.adaptation_context import AdaptationContext
from omnivec2.training.adaptation.answer_forms import (
    AnswerForm,
    mean_by_item,
    probabilities,
)
from omnivec2.training.adaptation.fitting.frozen_summaries import joined
from omnivec2.training.adaptation.fitting.labelled_summaries import measure_answers
from omnivec2.training.adaptation.reading.prepared_rows import Prepared
from omnivec2.training.evaluation.metrics.class_metrics import calibration_error


@dataclass(frozen=True)
class HeadFigures:
    """The figures of a head on the test part.

    Attributes:
        value: The metric.
        calibration: The expected calibration error of its scores; None for quantities.
        uncalibrated: The same without its temperature.
    """

    value: float
    calibration: float | None = None
    uncalibrated: float | None = None


def measure_head(context: AdaptationContext, test: Prepared, temperature: float) -> HeadFigures:
    """Read a checkpoint back as it was written, and measure its head.

    Args:
        context: The request, the directories, the progress and the times.
        test: The test part.
        temperature: The number that the head's logits were divided by.
    """
    request = context.request
    network = load_network(context.paths.checkpoint)
    head = network.heads[module_name(request.route)].eval()
    assert isinstance(head, FullyConnectedHead)
    summaries = context.summarise(network, test, "test samples", set(head.summaries))
    with torch.no_grad():
        [answers] = head.answer(torch.from_numpy(joined(summaries, head.summaries))).values()
    form, outputs = request.form, answers.numpy()
    if form is AnswerForm.QUANTITIES:
        predicted = mean_by_item(outputs, test.item)[1]
        value = measure_answers(request.metric_name, predicted, test.labels, test.scales)
        return HeadFigures(value)

    def answered(logits: Array) -> Array:
        return mean_by_item(probabilities(logits, form), test.item)[1]

    predicted = answered(outputs)
    return HeadFigures(
        measure_answers(request.metric_name, predicted, test.labels),
        calibration_error(predicted, test.labels),
        calibration_error(answered(outputs * temperature), test.labels),
    )
