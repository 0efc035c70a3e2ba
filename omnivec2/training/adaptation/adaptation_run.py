"""``omnivec2 adapt``: from labelled data to a checkpoint with one more head."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console

from omnivec2.checkpoint import write_head
from omnivec2.errors import InvalidParameterError
from omnivec2.network.config import HeadConfig, Summary
from omnivec2.network.fc_head import FAMILIES, TRUNK_SUMMARIES, FullyConnectedHead
from omnivec2.network.omnivec2 import OmniVec2, module_name
from omnivec2.network.saved_network import load_network
from omnivec2.preprocess import Preprocessor
from omnivec2.training.adaptation.adaptation_request import AdaptRequest
from omnivec2.training.adaptation.adaptation_result import AdaptationResult
from omnivec2.training.adaptation.adaptation_rules import FEATURE_SUMMARIES
from omnivec2.training.adaptation.adapted_checkpoint import head_spec, write_adapted
from omnivec2.training.adaptation.fitting.fit_layers import FittedLayers, answers_of, fit
from omnivec2.training.adaptation.fitting.frozen_summaries import joined, summarise, trunk_seconds
from omnivec2.training.adaptation.fitting.labelled_summaries import (
    Choice,
    LabelledSummaries,
    losses_of,
    scale_of,
)
from omnivec2.training.adaptation.fitting.linear_baseline import baselines
from omnivec2.training.adaptation.fitting.linear_trials import RAW
from omnivec2.training.adaptation.fitting.model_selection import FOLDS
from omnivec2.training.adaptation.fitting.own_tokenizer import (
    TunedTokenizer,
    start_tokenizer,
    step_seconds,
    tune,
)
from omnivec2.training.adaptation.frozen_network import Base, build_network, load_base
from omnivec2.training.adaptation.progress_report import Start, progress_report
from omnivec2.training.adaptation.reading.input_choice import (
    make_preprocessor,
    preprocess_spec_of,
)
from omnivec2.training.adaptation.reading.prepared_rows import Prepared, prepare_rows
from omnivec2.training.adaptation.reading.read_data import Parts, folds_of, read_parts
from omnivec2.training.adaptation.step_times import StepTimes
from omnivec2.training.data.base import Split, TaskData
from omnivec2.training.evaluation.quality_metrics import METRICS
from omnivec2.training.modalities import modality_training

_LABELS_PER_SECOND = 100
"""Labels for which the search may take a second longer."""

_FEWEST_LABELS = 100
"""Labelled inputs, about, on which it is decided whether the trunk is run on all of them."""

_FEWEST_STEPS = 30
"""Steps of a tokenizer's training that are worth their time."""


@dataclass(frozen=True)
class AdaptationPaths:
    """The directories that an adaptation reads and writes.

    Attributes:
        base: The checkpoint whose network is frozen.
        run: The directory of summaries of samples, which are kept for the next time.
        checkpoint: The checkpoint that is written.
    """

    base: Path
    run: Path
    checkpoint: Path


def adapt(request: AdaptRequest, paths: AdaptationPaths, console: Console) -> AdaptationResult:
    """Fit a head to labelled data and write it, with its figures, as a checkpoint.

    Raises:
        InputError: The data or the request is wrong; the message names file and row, or field.
        ArtifactError: The base is incomplete, or lacks the modality.
    """
    _check(request)
    times = StepTimes()
    base = load_base(paths.base, request.modality)
    with times.measure("reading"):
        parts = read_parts(request)
        preprocessor = make_preprocessor(request, base.head, parts.train)
    request = _with_targets(request, parts)
    with progress_report(console) as start:
        adaptation = _Adaptation(request, paths, base, preprocessor, parts, start, times)
        result = adaptation.run()
    for line in adaptation.skipped:
        console.print(f"skipped {line}", markup=False)
    for line in result.notes:
        console.print(f"note: {line}", markup=False, highlight=False)
    return result


def _check(request: AdaptRequest) -> None:
    supported = modality_training(request.modality).adaptation.is_supported
    if not supported or request.family not in FAMILIES:
        raise InvalidParameterError(
            f"{request.route}: two fully connected layers answer a class or quantities per "
            "input, not a forecast, boxes or masks; train those with `omnivec2 train`"
        )
    if request.metric_name not in METRICS:
        raise InvalidParameterError(f"metric: expected one of {', '.join(METRICS)}")


def _with_targets(request: AdaptRequest, parts: Parts) -> AdaptRequest:
    """Return the request with a name for every quantity.

    Raises:
        InvalidParameterError: The names given are not as many as the quantities.
    """
    if not request.is_regression:
        return request
    first = parts.train[0].label
    assert isinstance(first, tuple)
    if len(request.targets) != len(first):
        raise InvalidParameterError(
            f"targets: {len(request.targets)} are named, the data has {len(first)}"
        )
    return request


class _Adaptation:
    """The steps of one adaptation."""

    def __init__(
        self,
        request: AdaptRequest,
        paths: AdaptationPaths,
        base: Base,
        preprocessor: Preprocessor[Any, Any],
        parts: Parts,
        start: Start,
        times: StepTimes,
    ) -> None:
        self.request, self.paths, self.base, self.parts = request, paths, base, parts
        self.preprocessor, self.start, self.times = preprocessor, start, times
        self.training = modality_training(request.modality)
        self.own = self.training.adaptation.needs_own_tokenizer(preprocessor, base.head)
        self.classes = len(parts.classes)
        self.skipped: tuple[str, ...] = ()
        self.notes: tuple[str, ...] = ()
        self.with_trunk = True
        self.needed: frozenset[Summary] = frozenset()

    def run(self) -> AdaptationResult:
        """Prepare the samples, fit the head, write the checkpoint and measure it."""
        with self.times.measure("reading"):
            train, test = self._prepare()
        network = self._network(train)
        fitted, tuned = self._fit(network, train)
        if tuned is not None:
            network = tuned.network
        else:
            network.heads[module_name(self.request.route)].load_state_dict(fitted.head.state_dict())
        labels = tuple(self.request.labels.get(name, name) for name in self.parts.classes)
        spec = head_spec(self.request, self.base, self.preprocessor, labels)
        written = write_adapted(
            self.paths.checkpoint, self.base, network, spec, own_tokenizer=self.own
        )
        value = self._measure(test)
        with self.times.measure("linear model"):
            simple = baselines(
                self.request.modality, train, test,
                classes=self.classes, metric=self.request.metric_name, seed=self.request.seed,
            )  # fmt: skip
        result = AdaptationResult(
            route=self.request.route,
            dataset=self.request.test_name,
            labelled=len(train.labels),
            pool=self.parts.pool,
            samples=len(test.labels),
            metric=self.request.metric_name,
            value=value,
            validation=fitted.metric if tuned is None else tuned.metric,
            baselines=simple,
            chosen=_describe(fitted.choice) if tuned is None else _describe_tuned(tuned),
            notes=self.notes,
            skipped=len(self.skipped),
            seconds=self.times.total(),
            seed=self.request.seed,
            base=self.base.checkpoint.digest,
        )
        head = written.heads[0].model_copy(update={"metrics": (result.as_metric(),)})
        write_head(self.paths.checkpoint, head)
        return result

    def _prepare(self) -> tuple[Prepared, Prepared]:
        prepared, remaining_skips = [], self.request.skip_bad
        for name, rows in (("train", self.parts.train), ("test", self.parts.test)):
            advance = self.start(f"reading {name}", len(rows))
            part = prepare_rows(
                rows, self.preprocessor, self.parts.classes, skip_bad=remaining_skips,
                advance=partial(advance, 1),
            )  # fmt: skip
            remaining_skips -= len(part.skipped)
            self.skipped += part.skipped
            prepared.append(part)
        return prepared[0], prepared[1]

    def _network(self, train: Prepared) -> OmniVec2:
        """Return the frozen network, with a fresh tokenizer of its own if one is needed."""
        route = self.request.route
        head = HeadConfig(
            family=self.request.family,
            tokenizer=module_name(route) if self.own else self.base.tokenizer,
            outputs=self.classes or len(self.request.targets),
            layers="fc",
            hidden=self.request.hidden,
            summaries=FEATURE_SUMMARIES,
        )
        if not self.own:
            return build_network(self.base, route, head, None)
        task = self._task(train)
        torch.manual_seed(self.request.seed)
        config = self.training.tokenizer_config(task)
        network = build_network(self.base, route, head, config)
        start_tokenizer(network, self.base, task)
        return network

    def _task(self, train: Prepared) -> TaskData:
        """Return the labelled samples in the form that tokenizers are configured from."""
        return TaskData(
            route=self.request.route,
            family=self.request.family,
            preprocess=preprocess_spec_of(self.preprocessor),
            splits={"train": Split(train.samples, train.item)},
            metric=self.request.metric_name,
            test_name=self.request.test_name,
            sources=self.request.sources,
        )

    def _fit(
        self, network: OmniVec2, train: Prepared
    ) -> tuple[FittedLayers, TunedTokenizer | None]:
        """Fit the layers, and train the tokenizer with them where that is better."""
        request = self.request
        rules = self.training.adaptation
        seconds = request.search_seconds
        if seconds is None:
            seconds = rules.search_seconds + len(train.labels) / _LABELS_PER_SECOND
        sample_fit = None
        per_sample = trunk_seconds(network, request.route, train.samples[0])
        if self.own and per_sample * len(train.samples) > rules.trunk_seconds:
            count = max(_FEWEST_LABELS, int(rules.trunk_seconds / per_sample))
            sample_fit = self._fit_layers(network, _some(train, count, request.seed), 0.0)
            self.with_trunk = sample_fit.looks_at_trunk
        fitted = self._fit_layers(network, train, seconds / 2)
        tuned = self._tune(network, train, fitted, seconds)
        if tuned is None:
            self._set_form(network, fitted.choice.summaries, fitted.head.first.out_features)
            self._note_bypass(fitted, sample_fit)
        return fitted, tuned

    def _fit_layers(self, network: OmniVec2, train: Prepared, seconds: float) -> FittedLayers:
        """Fit the layers to all summaries, or to those that are taken before the trunk."""
        request = self.request
        candidates = self._candidates(network)
        self.needed = frozenset(name for names in candidates for name in names)
        summaries = self._summaries(network, train, "labelled samples")
        data = LabelledSummaries(summaries, train.item, train.labels, self.classes)
        advance = self.start("fitting", len(candidates))
        with self.times.measure("fitting"):
            return fit(
                data, family=request.family, metric=request.metric_name, hidden=request.hidden,
                seed=request.seed, candidates=candidates, seconds=seconds,
                advance=partial(advance, 1),
            )  # fmt: skip

    def _candidates(self, network: OmniVec2) -> list[tuple[Summary, ...]]:
        """Return the combinations of summaries to choose from."""
        tokenizer = network.config.heads[self.request.route].tokenizer
        has_raw = network.config.tokenizers[tokenizer].raw_width > 0
        found = self.training.adaptation.candidates(has_raw=has_raw)
        return [names for names in found if self.with_trunk or not TRUNK_SUMMARIES & set(names)]

    def _note_bypass(self, fitted: FittedLayers, sample_fit: FittedLayers | None) -> None:
        """Note that the head does not look at the trunk, with what a head that does would be."""
        if fitted.looks_at_trunk:
            return
        metric = self.request.metric_name
        compared = fitted if sample_fit is None else sample_fit
        choice = fitted.choice
        read = "the input itself" if choice.summaries == RAW else "what the trunk is given"
        note = (
            f"the head reads only {read} ({' + '.join(choice.summaries)}), not what the trunk "
            f"makes of it: validation {metric} {fitted.metric:.4g}"
        )
        if compared.with_trunk is not None:
            best, value = compared.with_trunk
            on = "" if sample_fit is None else (
                f" on {np.isfinite(sample_fit.predicted[:, 0]).sum():,} labelled inputs, where "
                f"the best that does not has {sample_fit.metric:.4g}"
            )  # fmt: skip
            note += f"; the best that looks at the trunk has {value:.4g} ({_describe(best)}){on}"
        self.notes += (note,)

    def _tune(
        self,
        network: OmniVec2,
        train: Prepared,
        fitted: FittedLayers,
        seconds: float,
    ) -> TunedTokenizer | None:
        """Return the network with its own tokenizer trained, if there is time and it is better."""
        request = self.request
        if not self.own or not request.tokenizer_steps:
            return None
        if METRICS[request.metric_name].higher_is_better and fitted.metric >= 1.0:
            return None  # nothing can be better
        affordable = int(seconds / 2 / step_seconds(network, request.route, train.samples[0]))
        steps = min(request.tokenizer_steps, affordable)
        if steps < min(_FEWEST_STEPS, request.tokenizer_steps):
            self.notes += (
                "the tokenizer of its own was not trained: it would take longer than "
                f"{seconds:.0f} s (--search-seconds)",
            )
            return None
        summaries = fitted.with_trunk[0].summaries if fitted.with_trunk else FEATURE_SUMMARIES
        self._set_form(network, summaries, request.hidden)
        held = _held(train, self.classes, request.seed)
        advance = self.start("training a tokenizer", 2 * steps)
        with self.times.measure("tokenizer"):
            tuned = tune(
                network, request.route, train, held, classes=self.classes,
                metric=request.metric_name, steps=steps, seed=request.seed, advance=advance,
            )  # fmt: skip
        untuned = losses_of(fitted.predicted[held], train.labels[held], scale_of(train.labels))
        return tuned if tuned.loss < untuned.mean() else None

    def _set_form(self, network: OmniVec2, summaries: tuple[Summary, ...], hidden: int) -> None:
        """Give the network's head the form that was chosen."""
        route = self.request.route
        config = network.config.heads[route].model_copy(
            update={"summaries": summaries, "hidden": hidden}
        )
        network.config = network.config.model_copy(update={"heads": {route: config}})
        trunk = network.config.trunk
        raw_width = network.config.tokenizers[config.tokenizer].raw_width
        network.heads[module_name(route)] = FullyConnectedHead(
            config, trunk.g.width, trunk.f.width, raw_width
        )

    def _summaries(self, network: OmniVec2, part: Prepared, name: str) -> Any:
        advance = self.start(f"network: {name}", len(part.samples))
        with self.times.measure("network"):
            return summarise(
                network, self.request.route, part.samples, self.paths.run, advance,
                names=self.needed,
            )  # fmt: skip

    def _measure(self, test: Prepared) -> float:
        """Return the metric of the checkpoint as it was written, on the test part."""
        network = load_network(self.paths.checkpoint)
        head = network.heads[module_name(self.request.route)]
        assert isinstance(head, FullyConnectedHead)
        self.needed |= set(head.summaries)
        summaries = self._summaries(network, test, "test samples")
        rows = torch.from_numpy(joined(summaries, head.summaries))
        _, predicted = answers_of(head.eval(), rows, test.item)
        return METRICS[self.request.metric_name].measure(predicted, test.labels)


def _held(train: Prepared, classes: int, seed: int) -> Any:
    """Return the items of fold 0, on which tokenizers are measured."""
    return np.flatnonzero(folds_of(_strata(train, classes), FOLDS, seed=seed) == 0)


def _some(train: Prepared, count: int, seed: int) -> Prepared:
    """Return about so many labelled inputs, of every class in proportion."""
    parts = max(1, len(train.labels) // count)
    folds = folds_of(_strata(train, bool(train.labels.ndim == 1)), parts, seed=seed)
    return train.take(np.flatnonzero(folds == 0))


def _strata(train: Prepared, classes: int) -> Any:
    return train.labels if classes else np.zeros(len(train.labels), dtype=np.int64)


def _describe_tuned(tuned: TunedTokenizer) -> str:
    return f"tokenizer of its own, trained with the head for {tuned.steps} steps"


def _describe(choice: Choice) -> str:
    """Return a choice in words."""
    summaries = f"summaries {' + '.join(choice.summaries)}"
    if choice.is_linear:
        return f"a linear map, {summaries}, penalty {choice.weight_decay:g}"
    words = [summaries, f"weight decay {choice.weight_decay:g}"]
    words += ["class weights"] * choice.class_weights
    return ", ".join([*words, f"{choice.steps} steps"])
