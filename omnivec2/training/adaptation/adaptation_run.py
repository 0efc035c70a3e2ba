"""``omnivec2 adapt``: from labelled data to a checkpoint with one more head."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from omnivec2.checkpoint import write_head
from omnivec2.errors import InvalidParameterError
from omnivec2.network.config import HeadConfig, Summary
from omnivec2.network.fc_head import FAMILIES, FullyConnectedHead
from omnivec2.network.omnivec2 import OmniVec2, module_name
from omnivec2.network.saved_network import load_network
from omnivec2.preprocess import Preprocessor
from omnivec2.training.adaptation.adaptation_request import AdaptRequest
from omnivec2.training.adaptation.adaptation_result import AdaptationResult
from omnivec2.training.adaptation.adaptation_rules import FEATURE_SUMMARIES
from omnivec2.training.adaptation.adapted_checkpoint import head_spec, write_adapted
from omnivec2.training.adaptation.fitting.fit_layers import FittedLayers, answers_of, fit
from omnivec2.training.adaptation.fitting.frozen_summaries import joined, summarise
from omnivec2.training.adaptation.fitting.labelled_summaries import LabelledSummaries
from omnivec2.training.adaptation.fitting.linear_baseline import baselines
from omnivec2.training.adaptation.fitting.model_selection import FOLDS
from omnivec2.training.adaptation.fitting.own_tokenizer import (
    TunedTokenizer,
    loss_of,
    scale_of,
    start_tokenizer,
    tune,
)
from omnivec2.training.adaptation.frozen_network import Base, build_network, load_base
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
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
               TimeRemainingColumn())  # fmt: skip
    with Progress(*columns, console=console, transient=True) as progress:
        adaptation = _Adaptation(request, paths, base, preprocessor, parts, progress, times)
        result = adaptation.run()
    for line in adaptation.skipped:
        console.print(f"skipped {line}", markup=False)
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
        progress: Progress,
        times: StepTimes,
    ) -> None:
        self.request, self.paths, self.base, self.parts = request, paths, base, parts
        self.preprocessor, self.progress, self.times = preprocessor, progress, times
        self.training = modality_training(request.modality)
        self.own = self.training.adaptation.needs_own_tokenizer(preprocessor, base.head)
        self.classes = len(parts.classes)
        self.skipped: tuple[str, ...] = ()

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
            chosen=_describe(fitted, tuned),
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
            bar = self.progress.add_task(f"reading {name}", total=len(rows))
            part = prepare_rows(
                rows, self.preprocessor, self.parts.classes, skip_bad=remaining_skips,
                advance=lambda bar=bar: self.progress.advance(bar),  # type: ignore[misc]
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
        summaries = self._summaries(network, train, "labelled samples")
        data = LabelledSummaries(summaries, train.item, train.labels, self.classes)
        candidates = self.training.adaptation.summaries
        bar = self.progress.add_task("fitting", total=len(candidates))
        with self.times.measure("fitting"):
            fitted = fit(
                data, family=request.family, metric=request.metric_name, hidden=request.hidden,
                seed=request.seed, candidates=candidates,
                advance=lambda: self.progress.advance(bar),
            )  # fmt: skip
        if self.own and request.tokenizer_steps:
            self._set_form(network, fitted.choice.summaries, request.hidden)
            tuned = self._tuned(network, train, data)
            held = _held(data, request.seed)
            untuned = loss_of(fitted.predicted[held], train.labels[held], scale_of(train.labels))
            if tuned.loss < untuned:
                return fitted, tuned
        self._set_form(network, fitted.choice.summaries, fitted.head.first.out_features)
        return fitted, None

    def _tuned(self, network: OmniVec2, train: Prepared, data: LabelledSummaries) -> TunedTokenizer:
        """Return the network with its tokenizer and head trained together."""
        request = self.request
        bar = self.progress.add_task("training a tokenizer", total=2 * request.tokenizer_steps)
        with self.times.measure("tokenizer"):
            return tune(
                network, request.route, train, _held(data, request.seed), classes=self.classes,
                metric=request.metric_name, steps=request.tokenizer_steps, seed=request.seed,
                advance=lambda steps: self.progress.advance(bar, steps),
            )  # fmt: skip

    def _set_form(self, network: OmniVec2, summaries: tuple[Summary, ...], hidden: int) -> None:
        """Give the network's head the form that was chosen."""
        route = self.request.route
        config = network.config.heads[route].model_copy(
            update={"summaries": summaries, "hidden": hidden}
        )
        network.config = network.config.model_copy(update={"heads": {route: config}})
        trunk = network.config.trunk
        network.heads[module_name(route)] = FullyConnectedHead(config, trunk.g.width, trunk.f.width)

    def _summaries(self, network: OmniVec2, part: Prepared, name: str) -> Any:
        bar = self.progress.add_task(f"network: {name}", total=len(part.samples))
        with self.times.measure("network"):
            return summarise(
                network, self.request.route, part.samples, self.paths.run,
                lambda count: self.progress.advance(bar, count),
            )  # fmt: skip

    def _measure(self, test: Prepared) -> float:
        """Return the metric of the checkpoint as it was written, on the test part."""
        network = load_network(self.paths.checkpoint)
        head = network.heads[module_name(self.request.route)]
        assert isinstance(head, FullyConnectedHead)
        summaries = self._summaries(network, test, "test samples")
        rows = torch.from_numpy(joined(summaries, head.summaries))
        _, predicted = answers_of(head.eval(), rows, test.item)
        return METRICS[self.request.metric_name].measure(predicted, test.labels)


def _held(data: LabelledSummaries, seed: int) -> Any:
    """Return the items of fold 0, on which tokenizers are measured."""
    return np.flatnonzero(folds_of(data.strata, FOLDS, seed=seed) == 0)


def _describe(fitted: FittedLayers, tuned: TunedTokenizer | None) -> str:
    """Return the choice in words."""
    if tuned is not None:
        return f"tokenizer of its own, trained with the head for {tuned.steps} steps"
    choice = fitted.choice
    summaries = f"summaries {' + '.join(choice.summaries)}"
    if choice.is_linear:
        return f"a linear map, {summaries}, penalty {choice.weight_decay:g}"
    words = [summaries, f"weight decay {choice.weight_decay:g}"]
    words += ["class weights"] * choice.class_weights
    return ", ".join([*words, f"{choice.steps} steps"])
