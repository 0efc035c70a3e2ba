"""What a measurement of a head found."""

from __future__ import annotations

from dataclasses import dataclass

from omnivec2.spec import Metric


@dataclass(frozen=True)
class HeadResult:
    """The value of one metric for one head on one split of its data.

    Attributes:
        route: The ``<modality>/<task>`` of the head.
        dataset: The name of the data set and split.
        split: The split, usually ``test``.
        samples: The number of samples measured.
        metric: The name of the metric.
        value: The value of the head.
        baselines: The values of simple models on the same arrays, by name.
        higher_is_better: Whether a higher value is better.
    """

    route: str
    dataset: str
    split: str
    samples: int
    metric: str
    value: float
    baselines: dict[str, float]
    higher_is_better: bool

    @property
    def gain(self) -> float | None:
        """The advantage of the head over the best simple model, negative if worse; None without."""
        return self.as_metric().gain

    @property
    def gain_text(self) -> str:
        """The advantage with its sign, for tables; nothing if there is none to compare with."""
        return "" if self.gain is None else f"{self.gain:+.3f}"

    def as_metric(self) -> Metric:
        """Convert to the metric of a head spec."""
        return Metric(
            name=self.metric,
            dataset=self.dataset,
            split=self.split,
            samples=self.samples,
            value=self.value,
            higher_is_better=self.higher_is_better,
            baselines=self.baselines,
        )
