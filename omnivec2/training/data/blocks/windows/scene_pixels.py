"""Scenes with a map of classes: every labelled pixel is a sample, and places are divided.

Windows of neighbouring pixels overlap. Pixels drawn at random would put nearly the same window
into two parts, so a scene is divided in squares, and pixels whose windows would overlap those
of another part are left out of the training part.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from omnivec2.errors import ArtifactError
from omnivec2.preprocess import Array, Sample
from omnivec2.spec import HeadSpec, Modality, TaskFamily
from omnivec2.training.data import augmentation
from omnivec2.training.data.base import LazySequence, Split, TaskData, build, preprocess_spec
from omnivec2.training.data.blocks.examples import Example, Origin
from omnivec2.training.data.blocks.files import listed
from omnivec2.training.data.blocks.kinds.base import TaskOfBlock
from omnivec2.training.data.blocks.part_names import part_of_name
from omnivec2.training.data.blocks.splits import PARTS, SharesSplit
from omnivec2.training.data.blocks.targets.class_targets import ClassTarget
from omnivec2.training.data.table_files import as_name


@dataclass(frozen=True, repr=False)
class LabelledScene:
    """A cube and its map.

    Attributes:
        name: The file, for messages.
        cube: The values, (height, width, bands).
        labels: The map, (height, width).
    """

    name: str
    cube: Array = field(compare=False)
    labels: Array = field(compare=False)

    def __repr__(self) -> str:
        return f"LabelledScene({self.name!r}, {self.cube.shape})"


@dataclass(frozen=True)
class _Pixels:
    """The labelled pixels of one part: the number of the scene, of the pixel, and the class."""

    scene: Array
    pixel: Array
    target: Array


def scene_task(
    route: str,
    block: TaskOfBlock,
    scenes: Sequence[tuple[str | None, LabelledScene]],
    unlabelled: Sequence[str],
    side: int,
    head: HeadSpec | None,
) -> TaskData:
    """Return the task of a class per pixel.

    Args:
        route: The head's name.
        block: The settings of the task.
        scenes: The scenes with the parts that their files are of, or None.
        unlabelled: The values of maps that are no class.
        side: The side of the squares that are divided, in pixels.
        head: The trained head that is measured; None in training.

    Raises:
        ArtifactError: A scene has other bands than the first, or classes are missing.
    """
    bands = _bands([scene for _, scene in scenes], route)
    given = {"window": 7, "bands": bands, "sensor": None, **block.preprocess}
    preprocess = head.preprocess if head else preprocess_spec(Modality.HYPERSPECTRAL, **given)
    preprocessor = build(preprocess)
    window = int(str(preprocess.parameters["window"]))
    names = [_names(scene, block, unlabelled) for _, scene in scenes]
    parts = [
        _parts(scene_names, part, block, side, window)
        for (part, _), scene_names in zip(scenes, names, strict=True)
    ]
    trained = {str(name) for n, p in zip(names, parts, strict=True) for name in n[p == "train"]}
    labels = _labels(trained, block, head)
    number = {name: index for index, name in enumerate(labels)}
    windows = [preprocessor.prepare(_filled(scene.cube)).samples for _, scene in scenes]
    splits = {
        part: _windows_around(_pixels_of(part, names, parts, number, route), windows)
        for part in PARTS
    }
    for part in ("train", "test"):
        if not len(splits[part]):
            raise ArtifactError(f"{route}: the part {part} has no labelled pixel")
    return TaskData(
        route=route,
        family=TaskFamily.SEGMENTATION,
        preprocess=preprocess,
        splits=splits,
        metric=block.metric or "accuracy",
        test_name=block.test_name or f"{route}, part test",
        sources=block.sources or (block.data.unstated_source(),),
        labels=labels,
        augment=augmentation.hyperspectral if block.augment else None,
        description=block.description,
        further_metrics=block.further_metrics,
        block=block.model_dump(mode="json", exclude_none=True),
    )


def _bands(scenes: Sequence[LabelledScene], route: str) -> int:
    """Return the number of bands, which all scenes must share."""
    bands = scenes[0].cube.shape[2]
    for scene in scenes:
        if scene.cube.shape[2] != bands:
            raise ArtifactError(f"{route}: {scene.name}: {scene.cube.shape[2]} bands, not {bands}")
    return int(bands)


def _windows_around(pixels: _Pixels, windows: Sequence[Sequence[Sample]]) -> Split:
    """Return the windows around the pixels of a part; each is made when it is looked up."""

    def at(index: int) -> Sample:
        return windows[int(pixels.scene[index])][int(pixels.pixel[index])]

    return Split(LazySequence(len(pixels.target), at), pixels.target)


def _names(scene: LabelledScene, block: TaskOfBlock, unlabelled: Sequence[str]) -> Array:
    """Return the class of every pixel by name, (height, width); nothing where there is none."""
    target = block.data.target
    if not isinstance(target, ClassTarget):
        raise ArtifactError("scenes have a class per pixel: target: class")
    values, codes = np.unique(scene.labels, return_inverse=True)
    texts = [as_name(value) for value in values.tolist()]
    named = [
        "" if text in unlabelled else target.parse(Example(None, text, Origin(scene.name)))
        for text in texts
    ]
    return np.array(named, dtype=object)[codes].reshape(scene.labels.shape)


def _labels(trained: set[str], block: TaskOfBlock, head: HeadSpec | None) -> tuple[str, ...]:
    names = getattr(block.data.target, "names", ())
    given = tuple(names.values() if isinstance(names, dict) else names)
    if head is not None and head.labels:
        return head.labels
    labels = tuple(n for n in given if n in trained) or tuple(
        sorted(trained, key=lambda n: (not n.isdigit(), n.zfill(12), n))
    )
    if len(labels) < 2:
        raise ArtifactError(f"the training part has the classes {listed(list(labels))}")
    return labels


def _parts(names: Array, part: str | None, block: TaskOfBlock, side: int, window: int) -> Array:
    """Return the part of every pixel, (height, width); nothing where there is none."""
    labelled = names != ""
    rule = block.data.split
    if part is not None:
        return np.where(labelled, part_of_name(part) or "", "").astype(object)
    if isinstance(rule, SharesSplit):
        drawn = np.full(names.shape, "", dtype=object)
        pixels = np.flatnonzero(labelled)
        examples = [Example(None, name, Origin("")) for name in names.ravel()[pixels]]
        strata = names.ravel()[pixels].tolist()
        drawn.ravel()[pixels] = rule.assign(examples, strata, [])
        return drawn
    if rule is not None:
        raise ArtifactError(
            f"split: by: {rule.model_dump()['by']}: scenes are divided in squares; "
            "or give by: shares for pixels drawn at random, or parts by file"
        )
    return _divide(names, side, window)


def _divide(names: Array, side: int, window: int, *, seed: int = 0) -> Array:
    """Divide a scene in squares, an eighth of them for ``val`` and a quarter for ``test``.

    A square is held out only if every class of it keeps labelled pixels elsewhere; training
    pixels whose window would overlap one of another part are left out.
    """
    from scipy.ndimage import maximum_filter

    height, width = names.shape
    rows, columns = np.arange(height) // side, np.arange(width) // side
    square = rows[:, None] * (columns[-1] + 1) + columns
    parts = np.where(names != "", "train", "").astype(object)
    counts = {name: int((names == name).sum()) for name in set(names[names != ""].tolist())}
    left = dict(counts)
    order = np.random.default_rng(seed).permutation(square.max() + 1)
    wanted = {"test": 0.25, "val": 0.125}
    held: dict[str, dict[str, int]] = {part: dict.fromkeys(counts, 0) for part in wanted}
    for number in order:
        own = (square == number) & (names != "")
        inside = dict(zip(*np.unique(names[own].astype(str), return_counts=True), strict=True))
        if not inside:
            continue
        for part, share in wanted.items():
            needs = any(held[part][name] < share * counts[name] for name in inside)
            keeps = all(left[name] - count >= 0.5 * counts[name] for name, count in inside.items())
            if needs and keeps:
                parts[own] = part
                for name, count in inside.items():
                    held[part][name] += int(count)
                    left[name] -= int(count)
                break
    others = np.isin(parts, ("val", "test"))
    reach = 2 * (window // 2)
    near = maximum_filter(others.astype(np.uint8), size=2 * reach + 1) > 0
    trimmed = (parts == "train") & near
    kept = {name: int(((parts == "train") & ~trimmed & (names == name)).sum()) for name in counts}
    # A class that lies within the reach of a held-out square everywhere would not be trained.
    lost = np.isin(names, [name for name, count in kept.items() if not count])
    parts[trimmed & ~lost] = ""
    return parts


def _pixels_of(
    part: str, names: Sequence[Array], parts: Sequence[Array], number: dict[str, int], route: str
) -> _Pixels:
    scenes, pixels, targets = [], [], []
    for index, (own, place) in enumerate(zip(names, parts, strict=True)):
        chosen = np.flatnonzero(place == part)
        classes = own.ravel()[chosen].tolist()
        if unknown := [name for name in classes if name not in number]:
            raise ArtifactError(
                f"{route}: class {unknown[0]!r} of part {part} has no pixel in the training part"
            )
        scenes.append(np.full(len(chosen), index))
        pixels.append(chosen)
        targets.append(np.array([number[name] for name in classes], dtype=np.int64))
    return _Pixels(np.concatenate(scenes), np.concatenate(pixels), np.concatenate(targets))


def _filled(cube: Array) -> Array:
    """Return a cube of real numbers, 0 where there is none, as the pre-processor marks holes."""
    if cube.dtype.kind not in "iuf":
        raise ArtifactError(f"expected a cube of real numbers, got {cube.dtype}")
    return np.nan_to_num(cube, nan=0.0, posinf=0.0, neginf=0.0) if cube.dtype.kind == "f" else cube
