"""The metric of the models that are served at the time of a scrape."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from service.runtimes.base import Model


class ServedModels(Collector):
    """One series per served model; it ends when the model is removed.

    Args:
        models: A function that returns the models.
    """

    NAME = "omnivec2_model_info"
    MEANING = "1 for each model that is served; digest is its checkpoint's."
    LABELS = ("modality", "task", "model", "version", "network", "digest")

    def __init__(self, models: Callable[[], Iterable[Model]]) -> None:
        self._models = models

    def collect(self) -> Iterable[Metric]:
        """Collect the current models."""
        family = GaugeMetricFamily(self.NAME, self.MEANING, labels=self.LABELS)
        for model in self._models():
            spec = model.spec
            labels = (spec.modality.value, spec.task, model.name, model.version)
            family.add_metric((*labels, spec.network, spec.checkpoint_digest[:12]), 1.0)
        yield family
