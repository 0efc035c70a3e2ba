"""The search for a head: layers on the frozen network, and a tokenizer of its own where needed."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
import torch

from omnivec2.network.config import HeadConfig, Summary
from omnivec2.network.fc_head import TRUNK_SUMMARIES, FullyConnectedHead
from omnivec2.network.omnivec2 import OmniVec2, module_name
from omnivec2.preprocess import Array
from omnivec2.training.adaptation.adaptation_context import AdaptationContext
from omnivec2.training.adaptation.adaptation_rules import FEATURE_SUMMARIES
from omnivec2.training.adaptation.answer_forms import AnswerForm, losses_of, strata_of
from omnivec2.training.adaptation.fitting.choice_words import (
    describe_bypass,
    describe_choice,
    describe_tokenizer,
)
from omnivec2.training.adaptation.fitting.fit_layers import FittedLayers, fit
from omnivec2.training.adaptation.fitting.frozen_summaries import trunk_seconds
from omnivec2.training.adaptation.fitting.labelled_summaries import (
    LabelledSummaries,
    scale_of,
)
from omnivec2.training.adaptation.fitting.own_tokenizer import (
    TunedTokenizer,
    start_tokenizer,
    step_seconds,
    tune,
)
from omnivec2.training.adaptation.frozen_network import build_network
from omnivec2.training.adaptation.reading.input_choice import preprocess_spec_of
from omnivec2.training.adaptation.reading.prepared_parts import PreparedParts
from omnivec2.training.adaptation.reading.prepared_rows import Prepared
from omnivec2.training.adaptation.reading.validation_folds import FOLDS, folds_of
from omnivec2.training.data.base import Split, TaskData
from omnivec2.training.evaluation.quality_metrics import METRICS
from omnivec2.training.modalities import modality_training
from omnivec2.training.structure.fitted_thresholds import thresholds_of

_LABELS_PER_SECOND = 100
"""Labels for which the search may take a second longer."""

_FEWEST_LABELS = 100
"""Labelled inputs, about, on which it is decided whether the trunk is run on all of them."""

_FEWEST_STEPS = 30
"""Steps of a tokenizer's training that are worth their time."""


@dataclass(frozen=True)
class FoundHead:
    """The head that validation chose, in its network.

    Attributes:
        network: The trunk, the tokenizer and the head.
        own_tokenizer: Whether the tokenizer is the data's own.
        chosen: The choice in words.
        metric: The metric on labelled inputs that were not fitted to.
        thresholds: The probability from which each tag is answered; none for other forms.
        temperature: The number that logits were divided by, so that scores are calibrated.
    """

    network: OmniVec2
    own_tokenizer: bool
    chosen: str
    metric: float
    thresholds: tuple[float, ...]
    temperature: float


class HeadSearch:
    """The search for the head of one adaptation.

    Args:
        context: The request, the directories, the progress and the times.
        parts: The prepared samples, of which the test part is not looked at.
    """

    def __init__(self, context: AdaptationContext, parts: PreparedParts) -> None:
        self.context, self.request = context, context.request
        self.train, self.classes = parts.train, len(parts.classes)
        self.preprocessor = parts.preprocessor
        self.training = modality_training(self.request.modality)
        base = context.base.head
        self.own = self.training.adaptation.needs_own_tokenizer(parts.preprocessor, base)
        self.with_trunk = True

    def run(self) -> FoundHead:
        """Fit the layers, train the tokenizer with them where that is better, and join them."""
        network = self._network()
        fitted, sample_fit, seconds = self._fit(network)
        tuned = self._tune(network, fitted, seconds)
        if tuned is not None:
            predicted = np.full((len(self.train.labels), tuned.predicted.shape[1]), np.nan)
            predicted[self._held()] = tuned.predicted
            return FoundHead(
                tuned.network, self.own, describe_tokenizer(tuned), tuned.metric,
                self._thresholds(predicted), tuned.temperature,
            )  # fmt: skip
        self._set_form(network, fitted.choice.summaries, fitted.head.first.out_features)
        network.heads[module_name(self.request.route)].load_state_dict(fitted.head.state_dict())
        if note := describe_bypass(fitted, sample_fit, self.request.metric_name):
            self.context.notes.append(note)
        return FoundHead(
            network, self.own, describe_choice(fitted.choice), fitted.metric,
            self._thresholds(fitted.predicted), fitted.temperature,
        )  # fmt: skip

    def _thresholds(self, predicted: Array) -> tuple[float, ...]:
        """Return the probability from which each tag is answered; none for other forms."""
        if self.request.form is not AnswerForm.TAGS:
            return ()
        known = np.isfinite(predicted[:, 0])
        return thresholds_of(predicted[known], self.train.labels[known] > 0)

    def _held(self) -> Array:
        """Return the items of fold 0, on which tokenizers are measured."""
        return np.flatnonzero(self.train.validation_folds(FOLDS, seed=self.request.seed) == 0)

    def _network(self) -> OmniVec2:
        """Return the frozen network, with a fresh tokenizer of its own if one is needed."""
        request, base = self.request, self.context.base
        head = HeadConfig(
            family=request.family,
            tokenizer=module_name(request.route) if self.own else base.tokenizer,
            outputs=self.classes or self.train.labels.shape[1],
            layers="fc",
            hidden=request.hidden,
            summaries=FEATURE_SUMMARIES,
            quantiles=len(request.quantiles) if request.is_forecast else 0,
        )
        if not self.own:
            return build_network(base, request.route, head, None)
        task = self._task()
        torch.manual_seed(request.seed)
        config = self.training.tokenizer_config(task)
        network = build_network(base, request.route, head, config)
        start_tokenizer(network, base, task)
        return network

    def _task(self) -> TaskData:
        """Return the labelled samples in the form that tokenizers are configured from."""
        return TaskData(
            route=self.request.route,
            family=self.request.family,
            preprocess=preprocess_spec_of(self.preprocessor),
            splits={"train": Split(self.train.samples, self.train.item)},
            metric=self.request.metric_name,
            test_name=self.request.test_name,
            sources=self.request.sources,
        )

    def _fit(self, network: OmniVec2) -> tuple[FittedLayers, FittedLayers | None, float]:
        """Return the layers, those fitted to a share of the labels, and the time of the search."""
        rules, train = self.training.adaptation, self.train
        seconds = self.request.search_seconds
        if seconds is None:
            seconds = rules.search_seconds + len(train.labels) / _LABELS_PER_SECOND
        sample_fit = None
        per_sample = trunk_seconds(network, self.request.route, train.samples[0])
        if self.own and per_sample * len(train.samples) > rules.trunk_seconds:
            count = max(_FEWEST_LABELS, int(rules.trunk_seconds / per_sample))
            sample_fit = self._fit_layers(network, _some(train, count, self.request.seed), 0.0)
            self.with_trunk = sample_fit.looks_at_trunk
        return self._fit_layers(network, train, seconds / 2), sample_fit, seconds

    def _fit_layers(self, network: OmniVec2, train: Prepared, seconds: float) -> FittedLayers:
        """Fit the layers to all summaries, or to those that are taken before the trunk."""
        request, context = self.request, self.context
        candidates = self._candidates(network)
        needed = frozenset(name for names in candidates for name in names)
        summaries = context.summarise(network, train, "labelled samples", needed)
        data = LabelledSummaries(
            summaries, train.item, train.labels, self.classes, train.folds, train.scales
        )
        advance = context.start("fitting", len(candidates))
        with context.times.measure("fitting"):
            return fit(
                data, family=request.family, metric=request.metric_name, hidden=request.hidden,
                seed=request.seed, candidates=candidates, seconds=seconds,
                quantiles=request.quantiles if request.is_forecast else (),
                advance=partial(advance, 1),
            )  # fmt: skip

    def _candidates(self, network: OmniVec2) -> list[tuple[Summary, ...]]:
        """Return the combinations of summaries to choose from."""
        tokenizer = network.config.heads[self.request.route].tokenizer
        own = network.config.tokenizers[tokenizer].own_widths
        found = self.training.adaptation.candidates(own)
        return [names for names in found if self.with_trunk or not TRUNK_SUMMARIES & set(names)]

    def _tune(
        self, network: OmniVec2, fitted: FittedLayers, seconds: float
    ) -> TunedTokenizer | None:
        """Return the network with its own tokenizer trained, if there is time and it is better."""
        request, context, train = self.request, self.context, self.train
        if not self.own or not request.tokenizer_steps or request.is_forecast:
            return None
        if METRICS[request.metric_name].higher_is_better and fitted.metric >= 1.0:
            return None  # nothing can be better
        affordable = int(seconds / 2 / step_seconds(network, request.route, train.samples[0]))
        steps = min(request.tokenizer_steps, affordable)
        if steps < min(_FEWEST_STEPS, request.tokenizer_steps):
            context.notes.append(
                "the tokenizer of its own was not trained: it would take longer than "
                f"{seconds:.0f} s (--search-seconds)"
            )
            return None
        summaries = fitted.with_trunk[0].summaries if fitted.with_trunk else FEATURE_SUMMARIES
        self._set_form(network, summaries, request.hidden)
        held = self._held()
        advance = context.start("training a tokenizer", 2 * steps)
        with context.times.measure("tokenizer"):
            tuned = tune(
                network, request.route, train, held, classes=self.classes,
                metric=request.metric_name, steps=steps, seed=request.seed, advance=advance,
            )  # fmt: skip
        scale = scale_of(train.labels)
        untuned = losses_of(fitted.uncalibrated[held], train.labels[held], scale)
        return tuned if tuned.loss < untuned.mean() else None

    def _set_form(self, network: OmniVec2, summaries: tuple[Summary, ...], hidden: int) -> None:
        """Give the network's head the form that was chosen."""
        route = self.request.route
        config = network.config.heads[route].model_copy(
            update={"summaries": summaries, "hidden": hidden}
        )
        network.config = network.config.model_copy(update={"heads": {route: config}})
        trunk = network.config.trunk
        own_widths = network.config.tokenizers[config.tokenizer].own_widths
        network.heads[module_name(route)] = FullyConnectedHead(
            config, trunk.g.width, trunk.f.width, own_widths
        )


def _some(train: Prepared, count: int, seed: int) -> Prepared:
    """Return about so many labelled inputs, of every class in proportion."""
    parts = max(1, len(train.labels) // count)
    if train.folds is not None:
        return train.take(np.arange(0, len(train.labels), parts))
    folds = folds_of(strata_of(train.labels), parts, seed=seed)
    return train.take(np.flatnonzero(folds == 0))
