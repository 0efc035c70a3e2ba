"""``omnivec2 align``: from recordings of the same things to heads that put them into one space."""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from omnivec2.atomic_files import write_file
from omnivec2.checkpoint import write_checkpoint
from omnivec2.network.config import HeadConfig
from omnivec2.network.omnivec2 import OmniVec2, module_name
from omnivec2.preprocess import Array, Sample, preprocessor_for
from omnivec2.spec import HeadSpec, Metric, Modality, PreprocessSpec, TaskFamily, TensorSpec
from omnivec2.training.adaptation.fitting.fit_layers import state_of
from omnivec2.training.adaptation.fitting.frozen_summaries import joined, summarise
from omnivec2.training.adaptation.fitting.own_tokenizer import start_tokenizer, tune
from omnivec2.training.adaptation.frozen_network import TRUNK_PREFIX, Base, build_network, load_base
from omnivec2.training.adaptation.reading.prepared_rows import Prepared
from omnivec2.training.adaptation.reading.read_data import folds_of
from omnivec2.training.alignment.fit_projections import Heads, Summarised, fit_heads, vectors_of
from omnivec2.training.alignment.paired_recordings import AlignedData, Stream
from omnivec2.training.alignment.retrieval_metrics import Found, ZeroShot, named, recall
from omnivec2.training.data.base import Split, TaskData
from omnivec2.training.evaluation.evaluation_report import environment
from omnivec2.training.modalities import modality_training
from omnivec2.training.structure.network_structure import tokenizer_config

_HIDDEN = 256
_FOLDS = 3
"""Parts of the classes that are left out, one after another, to be told by their names."""


@dataclass(frozen=True)
class Aligned:
    """What came of an alignment.

    Attributes:
        found: recall of every direction, on the test part.
        zero_shot: classes that heads were not fitted to.
    """

    found: list[Found]
    zero_shot: list[ZeroShot]


@dataclass(frozen=True)
class AlignRequest:
    """What is to be aligned.

    Attributes:
        data: recordings and names.
        base: the checkpoint whose network is frozen.
        run: directory of what is kept for the next time.
        out: the checkpoint that is written.
        task: name of the new heads.
        dimensions: of the space.
        steps: of the fitting.
        tokenizer_steps: of a tokenizer of its own, where one is needed.
        seed: of everything random.
    """

    data: AlignedData
    base: Path
    run: Path
    out: Path
    task: str = "retrieval"
    dimensions: int = 128
    steps: int = 800
    tokenizer_steps: int = 600
    seed: int = 0


def align(request: AlignRequest, console: Console) -> Aligned:
    """Fit a head for each modality and for the names, write them, and measure.

    Raises:
        ArtifactError: the base is incomplete, or lacks a modality.
    """
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
               TimeRemainingColumn())  # fmt: skip
    with Progress(*columns, console=console, transient=True) as progress:
        return _Work(request, progress).run()


@dataclass
class _Member:
    """One modality: its part of the frozen network, and what that makes of its recordings."""

    base: Base
    network: OmniVec2
    preprocess: PreprocessSpec
    own_tokenizer: bool
    train: Summarised
    test: Summarised

    @property
    def route(self) -> str:
        """Of its head."""
        return next(iter(self.network.config.heads))

    @property
    def config(self) -> HeadConfig:
        """Of its head."""
        return self.network.config.heads[self.route]


class _Work:
    """The steps of one alignment."""

    def __init__(self, request: AlignRequest, progress: Progress) -> None:
        self.request, self.progress = request, progress

    def run(self) -> Aligned:
        """Summarise, fit, measure, write."""
        members = {
            modality: self._member(modality, stream)
            for modality, stream in self.request.data.streams.items()
        }
        members[Modality.TEXT] = self._names()
        heads = self._fit(members, "fitting")
        result = Aligned(self._found(members, heads), self._zero_shot(members))
        self._write(members, heads, result)
        return result

    # --- the frozen network -------------------------------------------------------------

    def _head(self, base: Base, tokenizer: str) -> HeadConfig:
        return HeadConfig(
            family=TaskFamily.EMBEDDING,
            tokenizer=tokenizer,
            outputs=self.request.dimensions,
            layers="fc",
            hidden=_HIDDEN,
        )

    def _member(self, modality: Modality, stream: Stream) -> _Member:
        base = load_base(self.request.base, modality)
        route = f"{modality.value}/{self.request.task}"
        task = self._task(route, stream)
        training = modality_training(modality)
        preprocessor = preprocessor_for(stream.preprocess)
        own = training.adaptation.needs_own_tokenizer(preprocessor, base.head)
        if own:
            head = self._head(base, module_name(route))
            network = build_network(base, route, head, training.tokenizer_config(task))
            (name,) = network.tokenizers
            tuned = self._tuned(base, route, task, stream)
            network.tokenizers[name].load_state_dict(tuned.tokenizers[name].state_dict())
        else:
            network = build_network(base, route, self._head(base, base.tokenizer), None)
        parts = [
            self._summarised(network, route, part, f"{modality.value}: {name}")
            for name, part in (("train", stream.train), ("test", stream.test))
        ]
        return _Member(base, network, stream.preprocess, own, *parts)

    def _task(self, route: str, stream: Stream) -> TaskData:
        """The recordings in the form that tokenizers are configured from."""
        return TaskData(
            route=route,
            family=TaskFamily.CLASSIFICATION,
            preprocess=stream.preprocess,
            splits={"train": Split(stream.train.samples, stream.train.item)},
            metric="accuracy",
            test_name=self.request.data.test_name,
            sources=self.request.data.sources,
        )

    def _tuned(self, base: Base, route: str, task: TaskData, stream: Stream) -> OmniVec2:
        """A network whose tokenizer was trained to tell the classes apart."""
        classes, seed = len(self.request.data.names), self.request.seed
        head = HeadConfig(
            family=TaskFamily.CLASSIFICATION, tokenizer=module_name(route),
            outputs=classes, layers="fc", hidden=_HIDDEN,
        )  # fmt: skip
        torch.manual_seed(seed)
        network = build_network(base, route, head, tokenizer_config(task))
        start_tokenizer(network, base, task)
        held = np.flatnonzero(folds_of(stream.train.labels, 5, seed=seed) == 0)
        steps = self.request.tokenizer_steps
        bar = self.progress.add_task(f"{task.modality.value}: a tokenizer", total=2 * steps)
        return tune(
            network, route, stream.train, held, classes=classes, metric="accuracy",
            steps=steps, seed=seed, advance=lambda count: self.progress.advance(bar, count),
        ).network  # fmt: skip

    def _names(self) -> _Member:
        base = load_base(self.request.base, Modality.TEXT)
        route = f"{Modality.TEXT.value}/{self.request.task}"
        network = build_network(base, route, self._head(base, base.tokenizer), None)
        preprocessor = preprocessor_for(base.head.preprocess)
        names = self.request.data.names
        samples: list[Sample] = [
            preprocessor.prepare(preprocessor.decode_json(name)).samples[0] for name in names
        ]
        every = np.arange(len(names))
        part = self._summarised(network, route, Prepared(samples, every, every), "names")
        return _Member(base, network, base.head.preprocess, False, part, part)

    def _summarised(self, network: OmniVec2, route: str, part: Prepared, what: str) -> Summarised:
        bar = self.progress.add_task(what, total=len(part.samples))
        found = summarise(
            network, route, part.samples, self.request.run,
            lambda count: self.progress.advance(bar, count),
        )  # fmt: skip
        names = network.config.heads[route].summaries
        return Summarised(joined(found, names), part.item, part.labels)

    # --- heads --------------------------------------------------------------------------

    def _fit(
        self, members: Mapping[Modality, _Member], what: str, classes: Array | None = None
    ) -> Heads:
        bar = self.progress.add_task(what, total=self.request.steps)
        parts = {m: one.train for m, one in members.items()}
        if classes is not None:
            parts = {m: part.only(classes) for m, part in parts.items()}
        return fit_heads(
            parts, {m: one.config for m, one in members.items()},
            steps=self.request.steps, seed=self.request.seed,
            advance=lambda: self.progress.advance(bar),
        )  # fmt: skip

    def _found(self, members: Mapping[Modality, _Member], heads: Heads) -> list[Found]:
        """Recall of every direction between two modalities."""
        sets = [
            (m.value, vectors_of(heads[m], one.test), one.test.labels) for m, one in members.items()
        ]
        return [recall(a, b) for a in sets for b in sets if a[0] != b[0]]

    def _zero_shot(self, members: Mapping[Modality, _Member]) -> list[ZeroShot]:
        """Names of classes that were left out of the fitting; nothing if they are too few."""
        if len(self.request.data.names) < 2 * _FOLDS:
            return []
        every = np.random.default_rng((self.request.seed, 7)).permutation(
            len(self.request.data.names)
        )
        folds: dict[Modality, list[tuple[Array, Array, Array, Array]]] = {}
        for number in range(_FOLDS):
            left = np.sort(every[number::_FOLDS])
            kept = np.setdiff1d(every, left)
            heads = self._fit(members, f"without {len(left)} classes", kept)
            names = members[Modality.TEXT].test.only(left)
            known = vectors_of(heads[Modality.TEXT], names)
            for modality in self.request.data.streams:
                part = members[modality].test.only(left)
                asked = vectors_of(heads[modality], part)
                folds.setdefault(modality, []).append((asked, part.labels, known, names.labels))
        return [named(modality.value, one) for modality, one in folds.items()]

    # --- what is written ----------------------------------------------------------------

    def _write(self, members: Mapping[Modality, _Member], heads: Heads, result: Aligned) -> None:
        first = next(iter(members.values())).base
        stored, fitted = first.part(TRUNK_PREFIX), {}
        tokenizers: dict[str, Any] = {}
        for modality, one in members.items():
            (name,) = one.network.tokenizers
            prefix = f"tokenizers.{name}."
            tokenizers |= one.network.config.tokenizers
            for key, value in state_of(heads[modality]).items():
                fitted[f"heads.{module_name(one.route)}.{key}"] = value
            if one.own_tokenizer:
                state = state_of(one.network.tokenizers[name])
                fitted |= {f"{prefix}{key}": value for key, value in state.items()}
            else:
                stored |= one.base.part(prefix)
        config = first.config.model_copy(
            update={
                "tokenizers": tokenizers,
                "heads": {one.route: one.config for one in members.values()},
            }
        )
        specs = [self._spec(modality, one, result) for modality, one in members.items()]
        write_checkpoint(
            self.request.out, config=config.model_dump(mode="json"), tensors=fitted,
            heads=specs, stored=stored,
        )  # fmt: skip

    def _spec(self, modality: Modality, one: _Member, result: Aligned) -> HeadSpec:
        data = self.request.data
        others = [m.value for m in (*data.streams, Modality.TEXT) if m is not modality]
        preprocessor = preprocessor_for(one.preprocess)
        shape = (self.request.dimensions,)
        digest = one.base.checkpoint.digest[:12]
        return HeadSpec(
            modality=modality,
            task=self.request.task,
            family=TaskFamily.EMBEDDING,
            description=f"A vector that lies close to those of the same thing as {data.name} has "
            f"it in other modalities: {', '.join(f'{m}/{self.request.task}' for m in others)}.",
            inputs=preprocessor.inputs,
            outputs=(TensorSpec(name="embedding", dtype="float32", shape=shape),),
            preprocess=one.preprocess,
            limits=preprocessor.limits,
            data=data.sources,
            metrics=tuple(
                Metric(
                    name=f"recall@1 of {row.found}", dataset=data.test_name, split="test",
                    samples=row.queries, value=row.recall[1], baselines={"chance": row.chance[1]},
                )
                for row in result.found
                if row.asked == modality.value
            ),
            warm_starts=(*one.base.head.warm_starts, f"frozen network of checkpoint {digest}"),
            network=one.base.config.preset,
        )  # fmt: skip


def write_json(result: Aligned, path: Path) -> None:
    """The figures for programs, and for the documents."""
    content = {
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        **environment(),
        "found": [row.model_dump() for row in result.found],
        "zero_shot": [row.model_dump() for row in result.zero_shot],
    }
    write_file(path, (json.dumps(content, indent=1) + "\n").encode())
