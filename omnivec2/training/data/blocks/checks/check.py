"""Checking of data before anything is trained: counts, faults, and examples to look at."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import JsonValue

from omnivec2.errors import ArtifactError, InputError
from omnivec2.preprocess import Prepared
from omnivec2.preprocess.formats.tables.values.number_text import is_number_text
from omnivec2.preprocess.notes import collect_notes
from omnivec2.spec import Modality
from omnivec2.training.data.annotations.series.series_tables import TableSeries
from omnivec2.training.data.base import DataDirectories, TaskData, build
from omnivec2.training.data.blocks.block_loading import (
    DividedExamples,
    fit_target,
    preprocess_of,
    read_block,
)
from omnivec2.training.data.blocks.checks.doubtful_data import (
    find_duplicates,
    find_identifiers,
    find_similar_classes,
    find_small_classes,
)
from omnivec2.training.data.blocks.checks.task_check import ShownExample, TaskCheck
from omnivec2.training.data.blocks.examples import Origin, Problem, ProblemKind
from omnivec2.training.data.blocks.files import BlockFiles
from omnivec2.training.data.blocks.inputs import prepare_examples
from omnivec2.training.data.blocks.splits import PARTS
from omnivec2.training.data.blocks.targets import FittedTarget
from omnivec2.training.data.blocks.targets.class_targets import natural_key
from omnivec2.training.data.blocks.task_block import TaskBlock

_CHUNK = 64
_SHOWN_PER_CLASS = 2
_MOST_SHOWN = 24
_COLUMNS = 6

Advance = Callable[[int, int], None]
"""A callback that gets the inputs that were decoded and those there are."""


def check_task(
    route: str,
    block: TaskBlock,
    root: Path,
    *,
    seconds: float | None = None,
    advance: Advance = lambda done, count: None,
) -> TaskCheck:
    """Read, divide and decode the data of a task, and collect everything that is wrong.

    Args:
        route: The head's name.
        block: The block of the recipe.
        root: The directory of data.
        seconds: The time after which no more inputs are decoded; None decodes all.
        advance: A callback for progress.
    """
    check = TaskCheck(route, block.data.kind, block.data.target.family.value)
    try:
        # Windows of series and pixels of scenes are cut without decoding an input for each.
        with collect_notes() as notes:
            cut = block.data.load(route, block, DataDirectories(root, root), None)
    except ArtifactError as error:
        check.problems = _read_plainly(route, block, root)[1] or [_of_whole(route, error)]
        return check
    if cut is not None:
        check.notes = {note.text: note.count for note in notes}
        _take_cut(check, cut)
        check.inputs, check.problems = _read_plainly(route, block, root)
        return check
    try:
        with collect_notes() as notes:
            divided = read_block(route, block, root)
    except ArtifactError as error:
        check.problems.append(_of_whole(route, error))
        return check
    check.notes = {note.text: note.count for note in notes}
    check.problems = divided.problems
    if not divided.examples:
        return check
    _count(check, divided, block)
    try:
        preprocess = preprocess_of(route, block, divided)
        fitted = fit_target(divided, block, preprocess, None)
    except ArtifactError as error:
        # It explains the others, such as classes that are not trained.
        check.problems.insert(0, _of_whole(route, error))
        return check
    check.parameters = preprocess.parameters
    check.inputs = _columns_read(preprocess.parameters)
    _Decoding(check, divided, block, fitted, preprocess).run(seconds, advance)
    check.problems += find_duplicates(divided, seconds)
    check.problems += find_small_classes(divided, check.classes)
    check.problems += find_similar_classes(divided, check.classes)
    check.problems += find_identifiers(divided, route, _columns(preprocess.parameters))
    order = {str(example.origin): index for index, example in enumerate(divided.examples)}
    check.problems.sort(key=lambda p: (p.is_warning, order.get(str(p.origin), -1)))
    return check


def _read_plainly(
    route: str, block: TaskBlock, root: Path
) -> tuple[tuple[str, ...], list[Problem]]:
    """Return the names of the series of a block, and what is found without decoding inputs."""
    files = BlockFiles(root, Modality(route.partition("/")[0]))
    series: list[str] = []
    problems: list[Problem] = []
    try:
        for found in block.data.read(files):
            if isinstance(found, Problem):
                problems.append(found)
            elif isinstance(found.target, TableSeries):
                series.append(found.target.name)
    except ArtifactError:
        return (), []
    return tuple(series), problems


def _columns_read(parameters: Mapping[str, JsonValue]) -> tuple[str, ...]:
    """Return the columns that a table's pre-processor reads, with their kinds."""
    return tuple(
        f"{column['name']} ({column.get('kind', 'value')}{_numbers_among(column)})"
        for column in _columns(parameters)
    )


def _columns(parameters: Mapping[str, JsonValue]) -> list[dict[str, Any]]:
    columns = parameters.get("columns")
    listed = columns if isinstance(columns, list) else []
    return [column for column in listed if isinstance(column, dict) and "name" in column]


def _numbers_among(column: Mapping[str, Any]) -> str:
    """Return how many categories are numbers where most are, as one odd cell makes them; or ""."""
    texts = [str(category) for category in column.get("categories", ())]
    numbers = sum(is_number_text(text, units=False) for text in texts)
    if not len(texts) > numbers > len(texts) // 2:
        return ""
    others = next(text for text in texts if not is_number_text(text, units=False))
    return f": {numbers} of its {len(texts)} values are numbers, {others[:40]!r} is none"


def _take_cut(check: TaskCheck, task: TaskData) -> None:
    """Count and show the samples of a task that were cut from large inputs."""
    check.parameters = task.preprocess.parameters
    for part, split in task.splits.items():
        check.counts[part] = len(split)
        rows = np.unique(np.linspace(0, len(split) - 1, min(len(split), _COLUMNS)).astype(int))
        for row in rows.tolist():
            target = split.targets[row]
            is_class = bool(task.labels) and np.ndim(target) == 0
            caption = task.labels[int(target)] if is_class else ""
            origin = Origin(f"sample {row + 1} of {part}")
            check.shown.append(ShownExample(part, origin, split.samples[row], target, caption))
    check.decoded = sum(check.counts.values())
    if task.labels and np.ndim(task.splits["train"].targets[0]) == 0:
        check.classes = {
            label: {
                part: int(np.count_nonzero(np.asarray(split.targets[:]) == index))
                for part, split in task.splits.items()
            }
            for index, label in enumerate(task.labels)
        }


def _of_whole(route: str, error: ArtifactError) -> Problem:
    return Problem(ProblemKind.BLOCK, Origin(route), str(error).removeprefix(f"{route}: "))


def _count(check: TaskCheck, divided: DividedExamples, block: TaskBlock) -> None:
    """Count examples and classes by part, and measure quantities of the training part."""
    target = block.data.target
    for part in PARTS:
        rows = divided.rows(part)
        check.counts[part] = len(rows)
        for row in rows:
            for name in target.counted(divided.parsed[row]):
                counts = check.classes.setdefault(name, dict.fromkeys(PARTS, 0))
                counts[part] += 1
        if not len(rows):
            origin = Origin(check.route)
            reason = f"the part {part} is empty, of {len(divided.examples)} usable examples"
            check.problems.append(Problem(ProblemKind.EMPTY, origin, reason))
    check.classes = dict(sorted(check.classes.items(), key=lambda item: natural_key(item[0])))
    train = [divided.parsed[row] for row in divided.rows("train")]
    for name in target.quantities(train):
        values = np.array([row[name] for row in train])
        check.quantities[name] = {"mean": float(values.mean()), "deviation": float(values.std())}


class _Decoding:
    """Decodes the inputs of a task in random order, so that a part of them tells of all."""

    def __init__(
        self,
        check: TaskCheck,
        divided: DividedExamples,
        block: TaskBlock,
        fitted: FittedTarget,
        preprocess: Any,
    ) -> None:
        self.check, self.divided, self.fitted = check, divided, fitted
        self.target = block.data.target
        self.preprocessor = build(preprocess)
        self.notes: Counter[str] = Counter()
        self.shown_of: Counter[tuple[str, str]] = Counter()

    def run(self, seconds: float | None, advance: Advance) -> None:
        """Decode until everything is read or the time is over."""
        examples = self.divided.examples
        order = np.random.default_rng(0).permutation(len(examples))
        end = None if seconds is None else time.monotonic() + seconds
        for start in range(0, len(order), _CHUNK):
            if end is not None and time.monotonic() > end:
                break
            rows = order[start : start + _CHUNK]
            with collect_notes() as notes:
                found = list(prepare_examples([examples[i] for i in rows], self.preprocessor))
                self.notes.update({note.text: note.count for note in notes})
            for row, prepared in zip(rows.tolist(), found, strict=True):
                self._take(row, prepared)
            self.check.decoded += len(rows)
            advance(self.check.decoded, len(order))
        self.check.notes |= dict(self.notes.most_common())
        if self.fitted.labels:
            # Only whole data shows that a declared class does not occur.
            if self.check.decoded == len(examples):
                for name in self.fitted.labels:
                    self.check.classes.setdefault(name, dict.fromkeys(PARTS, 0))
            place = {name: number for number, name in enumerate(self.fitted.labels)}
            by_output = sorted(
                self.check.classes.items(), key=lambda i: place.get(i[0], len(place))
            )
            self.check.classes = dict(by_output)

    def _take(self, row: int, found: Prepared | InputError) -> None:
        example, part = self.divided.examples[row], str(self.divided.parts[row])
        if isinstance(found, InputError):
            problem = Problem(ProblemKind.UNDECODABLE, example.origin, str(found))
            self.check.problems.append(problem)
            return
        parsed = self.divided.parsed[row]
        try:
            kept = self.fitted.target_arrays(parsed, found, 0)
        except InputError as error:
            problem = Problem(ProblemKind.BAD_TARGET, example.origin, str(error))
            self.check.problems.append(problem)
            return
        for name in self.fitted.classes_of(kept):
            if part:
                self.check.classes.setdefault(name, dict.fromkeys(PARTS, 0))[part] += 1
        names = self.target.counted(parsed)
        key = part, names[0] if names else ""
        if not part or self.shown_of[key] >= (_SHOWN_PER_CLASS if names else _MOST_SHOWN // 3):
            return
        if len(self.check.shown) >= 3 * _MOST_SHOWN or self.fitted.unknown(parsed) is not None:
            return
        target = self.fitted.encode([parsed], [kept])[0]
        caption = ", ".join(names) or _words(parsed)
        shown = ShownExample(part, example.origin, found.samples[0], target, caption)
        self.check.shown.append(shown)
        self.shown_of[key] += 1


def _words(parsed: Any) -> str:
    """Return a target in words."""
    if isinstance(parsed, dict):
        return ", ".join(
            f"{name} {value:g}" for name, value in parsed.items() if isinstance(value, float | int)
        )
    return ""
