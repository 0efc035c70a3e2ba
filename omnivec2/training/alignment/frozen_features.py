"""The features that the frozen network makes of the recordings of each modality."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from rich.progress import Progress

from omnivec2.errors import ArtifactError
from omnivec2.network.config import HeadConfig
from omnivec2.network.omnivec2 import OmniVec2, module_name
from omnivec2.preprocess import Sample, preprocessor_for
from omnivec2.spec import Modality, PreprocessSpec, TaskFamily
from omnivec2.training.adaptation.fitting.frozen_summaries import joined, summarise
from omnivec2.training.adaptation.fitting.own_tokenizer import start_tokenizer, tune
from omnivec2.training.adaptation.frozen_network import Base, build_network, load_base
from omnivec2.training.adaptation.reading.prepared_rows import Prepared
from omnivec2.training.adaptation.reading.validation_folds import folds_of
from omnivec2.training.alignment.alignment_request import AlignRequest
from omnivec2.training.alignment.fit_projections import Summarised
from omnivec2.training.alignment.paired_recordings import Stream
from omnivec2.training.data.base import Split, TaskData
from omnivec2.training.modalities import modality_training
from omnivec2.training.structure.network_structure import tokenizer_config

_HIDDEN = 256
_TOKENIZER_FOLDS = 5
"""One fold of the training recordings in so many is held out while a tokenizer is trained."""


@dataclass(frozen=True)
class AlignedModality:
    """A modality: its part of the frozen network, and the features of its recordings.

    Attributes:
        base: The checkpoint it comes from.
        network: The network with its tokenizer and the configuration of its head.
        preprocess: The preprocessing of its recordings.
        own_tokenizer: Whether it needed a tokenizer of its own.
        train: The features of the training recordings.
        test: The features of the test recordings.
    """

    base: Base
    network: OmniVec2
    preprocess: PreprocessSpec
    own_tokenizer: bool
    train: Summarised
    test: Summarised

    @property
    def route(self) -> str:
        """The route of its head."""
        return next(iter(self.network.config.heads))

    @property
    def head(self) -> HeadConfig:
        """The configuration of its head."""
        return self.network.config.heads[self.route]


class FeatureExtractor:
    """An extractor of the frozen network's features.

    Args:
        request: The request of the alignment.
        progress: The progress bars.
    """

    def __init__(self, request: AlignRequest, progress: Progress) -> None:
        self.request, self.progress = request, progress

    def extract_recordings(self, modality: Modality, stream: Stream) -> AlignedModality:
        """Extract features of recordings, with a tokenizer of their own if they need one.

        Raises:
            ArtifactError: The base is incomplete, or lacks the modality.
        """
        base = load_base(self.request.base, modality)
        route = f"{modality.value}/{self.request.task}"
        task = self._as_task(route, stream)
        rules = modality_training(modality).adaptation
        own = rules.needs_own_tokenizer(preprocessor_for(stream.preprocess), base.head)
        if own and not self.request.data.names:
            raise ArtifactError(
                f"{base.checkpoint.directory} has no tokenizer that takes these {modality.value} "
                "inputs, and a new one is learned from classes, which pairs have none of"
            )
        if own:
            head = self._head(module_name(route))
            network = build_network(base, route, head, tokenizer_config(task))
            (name,) = network.tokenizers
            tuned = self._tune_tokenizer(base, route, task, stream)
            network.tokenizers[name].load_state_dict(tuned.tokenizers[name].state_dict())
        else:
            network = build_network(base, route, self._head(base.tokenizer), None)
        train, test = (
            self._summarise(network, route, split, f"{modality.value}: {name}")
            for name, split in (("train", stream.train), ("test", stream.test))
        )
        return AlignedModality(base, network, stream.preprocess, own, train, test)

    def extract_names(self) -> AlignedModality:
        """Extract features of the names of the classes.

        Raises:
            ArtifactError: The base is incomplete, or lacks text.
        """
        base = load_base(self.request.base, Modality.TEXT)
        route = f"{Modality.TEXT.value}/{self.request.task}"
        network = build_network(base, route, self._head(base.tokenizer), None)
        preprocessor = preprocessor_for(base.head.preprocess)
        names = self.request.data.names
        samples: list[Sample] = [
            preprocessor.prepare(preprocessor.decode_json(name)).samples[0] for name in names
        ]
        indices = np.arange(len(names))
        features = self._summarise(network, route, Prepared(samples, indices, indices), "names")
        return AlignedModality(base, network, base.head.preprocess, False, features, features)

    def _head(self, tokenizer: str) -> HeadConfig:
        return HeadConfig(
            family=TaskFamily.EMBEDDING,
            tokenizer=tokenizer,
            outputs=self.request.dimensions,
            layers="fc",
            hidden=_HIDDEN,
        )

    def _as_task(self, route: str, stream: Stream) -> TaskData:
        """Return the recordings in the form that tokenizers are configured from."""
        return TaskData(
            route=route,
            family=TaskFamily.CLASSIFICATION,
            preprocess=stream.preprocess,
            splits={"train": Split(stream.train.samples, stream.train.item)},
            metric="accuracy",
            test_name=self.request.data.test_name,
            sources=self.request.data.sources,
        )

    def _tune_tokenizer(self, base: Base, route: str, task: TaskData, stream: Stream) -> OmniVec2:
        """Return a network whose tokenizer was trained to classify the recordings."""
        classes, seed = len(self.request.data.names), self.request.seed
        head = HeadConfig(
            family=TaskFamily.CLASSIFICATION, tokenizer=module_name(route),
            outputs=classes, layers="fc", hidden=_HIDDEN,
        )  # fmt: skip
        torch.manual_seed(seed)
        network = build_network(base, route, head, tokenizer_config(task))
        start_tokenizer(network, base, task)
        folds = folds_of(stream.train.labels, _TOKENIZER_FOLDS, seed=seed)
        held_out = np.flatnonzero(folds == 0)
        steps = self.request.tokenizer_steps
        bar = self.progress.add_task(f"{task.modality.value}: a tokenizer", total=2 * steps)
        return tune(
            network, route, stream.train, held_out, classes=classes, metric="accuracy",
            steps=steps, seed=seed, advance=lambda count: self.progress.advance(bar, count),
        ).network  # fmt: skip

    def _summarise(
        self, network: OmniVec2, route: str, recordings: Prepared, title: str
    ) -> Summarised:
        bar = self.progress.add_task(title, total=len(recordings.samples))
        summaries = summarise(
            network, route, recordings.samples, self.request.run,
            lambda count: self.progress.advance(bar, count),
        )  # fmt: skip
        names = network.config.heads[route].summaries
        return Summarised(joined(summaries, names), recordings.item, recordings.labels)
