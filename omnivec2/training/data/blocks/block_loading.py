"""From a block to the data of a task: read, divided, fitted on the training part, prepared."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from omnivec2.errors import ArtifactError, InputError, InvalidInputError
from omnivec2.preprocess import Array, Prepared, Sample
from omnivec2.spec import HeadSpec, Modality, PreprocessSpec
from omnivec2.training.data.base import (
    DataDirectories,
    LazySequence,
    PreparingProgress,
    Split,
    Subset,
    TaskData,
    build,
)
from omnivec2.training.data.blocks.augmentations import augmentation_of
from omnivec2.training.data.blocks.examples import (
    Example,
    Problem,
    ProblemKind,
    raise_problems,
)
from omnivec2.training.data.blocks.files import BlockFiles
from omnivec2.training.data.blocks.inputs import prepare_examples, prepare_value
from omnivec2.training.data.blocks.splits import PARTS, default_split
from omnivec2.training.data.blocks.statistics import fit_preprocess
from omnivec2.training.data.blocks.targets import FittedTarget
from omnivec2.training.data.blocks.task_block import TaskBlock
from omnivec2.training.data.sample_store import StoredSamples, stored

_ITEM = "example"
_TARGET = "target-"


@dataclass(frozen=True)
class DividedExamples:
    """The usable examples of a block with their targets and parts.

    Attributes:
        examples: The examples in reading order.
        parsed: The target of each.
        parts: The part of each, a text.
        problems: The faults, in the order in which they were found.
    """

    examples: list[Example]
    parsed: list[Any]
    parts: Array
    problems: list[Problem]

    def rows(self, part: str) -> Array:
        """Return the indices of the examples of a part."""
        return np.flatnonzero(self.parts == part)

    def train(self) -> list[Example]:
        """Return the examples of the training part."""
        return [self.examples[row] for row in self.rows("train")]


def read_block(route: str, block: TaskBlock, root: Path) -> DividedExamples:
    """Read a block's examples and targets, and divide them; inputs are not decoded.

    Args:
        route: The head's name.
        block: The block.
        root: The directory of data.

    Raises:
        ArtifactError: The files of the block are not there at all.
    """
    examples: list[Example] = []
    parsed: list[Any] = []
    problems: list[Problem] = []
    data = block.data
    try:
        for found in data.read(BlockFiles(root, Modality(route.partition("/")[0]))):
            if isinstance(found, Problem):
                problems.append(found)
                continue
            try:
                parsed.append(data.target.parse(found))
            except InvalidInputError as error:
                problems.append(Problem(ProblemKind.BAD_TARGET, found.origin, str(error)))
            else:
                examples.append(found)
        strata = [data.target.stratum(one) for one in parsed]
        rule = data.split or default_split(examples)
        parts = np.array([], dtype=object)
        if examples:
            parts = rule.assign(examples, strata, problems)
        elif not problems:
            raise ArtifactError("there are no examples")
    except ArtifactError as error:
        raise ArtifactError(f"{route}: {error}") from error
    return DividedExamples(examples, parsed, parts, problems)


def fit_target(
    divided: DividedExamples, block: TaskBlock, preprocess: PreprocessSpec, head: HeadSpec | None
) -> FittedTarget:
    """Return the target kind fitted on the training part; adds what it does not cover.

    Args:
        divided: The examples; problems are added to its own.
        block: The block.
        preprocess: The pre-processing of the inputs.
        head: The trained head that is measured; None in training.
    """
    train = [divided.parsed[row] for row in divided.rows("train")]
    fitted = block.data.target.fit(train, preprocess, head)
    for part in PARTS:
        for row in divided.rows(part):
            reason = fitted.unknown(divided.parsed[row])
            if reason is not None:
                origin = divided.examples[row].origin
                text = f"{reason} (this is of part {part})"
                divided.problems.append(Problem(ProblemKind.UNKNOWN_CLASS, origin, text))
    return fitted


def load_block(
    route: str, block: TaskBlock, at: DataDirectories, head: HeadSpec | None = None
) -> TaskData:
    """Load the data of a task that a block describes.

    Args:
        route: The head's name, ``<modality>/<task>``.
        block: The block.
        at: The directories of data and of prepared arrays.
        head: The trained head that is measured: its pre-processing and classes are taken instead
            of those that follow from the data.

    Raises:
        ArtifactError: Files are missing or something in them is wrong; the message names file
            and row.
    """
    if (cut := block.data.load(route, block, at, head)) is not None:
        return cut
    divided = read_block(route, block, at.root)
    raise_problems(route, divided.problems)
    try:
        preprocess = head.preprocess if head is not None else preprocess_of(route, block, divided)
        fitted = fit_target(divided, block, preprocess, head)
    except ArtifactError as error:
        raise ArtifactError(f"{route}: {error}") from error
    raise_problems(route, divided.problems)
    for part in PARTS:
        if not len(divided.rows(part)):
            raise ArtifactError(
                f"{route}: the part {part} is empty, of {len(divided.examples)} examples"
            )
    maker = _SampleMaker(route, block, divided, preprocess, fitted)
    everything = maker.stored(at) if block.data.cached else maker.lazy()
    item = maker.items(everything)
    family = block.data.target.family
    return TaskData(
        route=route,
        family=family,
        preprocess=preprocess,
        splits={
            part: maker.split(everything, np.flatnonzero(np.isin(item, divided.rows(part))), item)
            for part in PARTS
        },
        metric=block.metric or block.data.target.metric,
        test_name=block.test_name or f"{route}, part test",
        sources=block.sources or (block.data.unstated_source(),),
        labels=fitted.labels,
        targets=fitted.targets,
        horizon=fitted.horizon,
        form=fitted.form,
        augment=augmentation_of(route, block) if block.augment else None,
        description=block.description,
        block=block.model_dump(mode="json", exclude_none=True),
        **{"further_metrics": (), **fitted.further}
        | ({"further_metrics": block.further_metrics} if block.further_metrics else {}),
    )


def preprocess_of(route: str, block: TaskBlock, divided: DividedExamples) -> PreprocessSpec:
    """Return the pre-processing of a block's inputs, fitted on its training part.

    Raises:
        ArtifactError: A parameter is unknown or impossible, or cannot be found in the data.
    """
    modality = Modality(route.partition("/")[0])
    categories = getattr(block.data, "categories", ())
    given = {**block.data.parameters(modality), **block.preprocess}
    return fit_preprocess(modality, given, divided.train(), categories)


class _SampleMaker:
    """Makes the samples of all examples of a block, and the splits of them."""

    def __init__(
        self,
        route: str,
        block: TaskBlock,
        divided: DividedExamples,
        preprocess: PreprocessSpec,
        fitted: FittedTarget,
    ) -> None:
        self.route, self.block, self.divided = route, block, divided
        self.preprocess, self.fitted = preprocess, fitted

    def stored(self, at: DataDirectories) -> StoredSamples:
        """Return all samples from the cache, with the number of the example of each."""
        used = self.divided.examples
        text = json.dumps(
            [self.block.data.target.model_dump(mode="json"), [_identity(e) for e in used]]
        )
        digest = hashlib.sha256(text.encode()).hexdigest()[:12]
        name = f"{self.route.replace('/', '-')}-{digest}"
        sources = sorted({e.value for e in used if isinstance(e.value, Path)})
        # An example may give several samples, so examples are counted and not samples.
        quiet = DataDirectories(at.root, at.cache)
        return stored(quiet, name, self.preprocess, sources, partial(self._make, at.progress))

    def lazy(self) -> Sequence[Sample]:
        """Return the first sample of each example, prepared when it is looked up."""
        preprocessor = build(self.preprocess)

        def make(index: int) -> Sample:
            example = self.divided.examples[index]
            try:
                prepared = prepare_value(example.value, preprocessor)
            except InputError as error:
                raise ArtifactError(f"{self.route}: {example.origin}: {error}") from error
            return self._sample(index, prepared, 0)

        return LazySequence(len(self.divided.examples), make)

    def items(self, samples: Sequence[Sample]) -> Array:
        """Return the number of the example that each sample is of."""
        if isinstance(samples, StoredSamples):
            return np.array(samples.column(_ITEM))
        return np.arange(len(samples))

    def split(self, everything: Sequence[Sample], rows: Array, item: Array) -> Split:
        """Return the samples ``rows`` with their targets."""
        parsed = [self.divided.parsed[index] for index in item[rows]]
        kept = LazySequence(len(rows), lambda index: _hidden(everything[int(rows[index])]))
        return Split(
            Subset(_Shown(everything), rows),
            self.fitted.encode(parsed, kept),
            scales=self.fitted.scales(parsed),
            references=self.fitted.references(parsed, kept),
        )

    def _make(self, progress: PreparingProgress) -> Iterator[Sample]:
        """Yield every sample of every example; raise if an input cannot be used."""
        problems: list[Problem] = []
        preprocessor = build(self.preprocess)
        examples = self.divided.examples
        for index, found in enumerate(prepare_examples(examples, preprocessor)):
            progress(index + 1, len(examples))
            if isinstance(found, InputError):
                origin = examples[index].origin
                problems.append(Problem(ProblemKind.UNDECODABLE, origin, str(found)))
                continue
            for number in range(len(found.samples)):
                try:
                    sample = self._sample(index, found, number)
                except InputError as error:
                    origin = examples[index].origin
                    problems.append(Problem(ProblemKind.BAD_TARGET, origin, str(error)))
                    continue
                yield {**sample, _ITEM: np.asarray(index, dtype=np.int64)}
        raise_problems(self.route, problems)

    def _sample(self, index: int, prepared: Prepared, number: int) -> Sample:
        parsed = self.divided.parsed[index]
        kept = self.fitted.target_arrays(parsed, prepared, number)
        return {
            **prepared.samples[number],
            **self.fitted.sample_arrays(parsed),
            **{f"{_TARGET}{name}": array for name, array in kept.items()},
        }


class _Shown(LazySequence[Sample]):
    """Samples without the arrays that only targets are made of."""

    def __init__(self, samples: Sequence[Sample]) -> None:
        super().__init__(len(samples), lambda index: _without_hidden(samples[index]))


def _without_hidden(sample: Mapping[str, Array]) -> Sample:
    return {n: a for n, a in sample.items() if n != _ITEM and not n.startswith(_TARGET)}


def _hidden(sample: Mapping[str, Array]) -> Sample:
    return {n.removeprefix(_TARGET): a for n, a in sample.items() if n.startswith(_TARGET)}


def _identity(example: Example) -> Any:
    """Return what tells an example from another in a cache."""
    value = example.value
    if isinstance(value, np.ndarray):
        value = hashlib.sha256(value.tobytes()).hexdigest()
    elif not isinstance(value, str | int | float | bool | list | dict | type(None)):
        value = str(value)
    return [str(example.origin), value, repr(example.target)]
