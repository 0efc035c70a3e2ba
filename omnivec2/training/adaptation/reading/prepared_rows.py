"""Rows -> prepared arrays, by the pre-processor that will serve the head."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from omnivec2.errors import InputError, InvalidInputError, TooLargeError
from omnivec2.preprocess import Array, Preprocessor, Sample
from omnivec2.preprocess.imu import Recording
from omnivec2.spec import Modality
from omnivec2.training.adaptation.reading.labelled_rows import Pixel, Row, Value

_SHOWN = 3
_AS_NPY = (Modality.DEPTH, Modality.POINTCLOUD, Modality.HYPERSPECTRAL)
_AS_PICTURE = (Modality.IMAGE, Modality.XRAY, Modality.INFRARED)


@dataclass(frozen=True)
class Prepared:
    """The samples of a part.

    Attributes:
        samples: named arrays; an input (a recording) may have several.
        item: int64 [samples], the input each belongs to.
        labels: int64 [items] classes, or float32 [items, targets] quantities.
        skipped: what could not be decoded, and why.
    """

    samples: list[Sample]
    item: Array
    labels: Array
    skipped: tuple[str, ...] = ()

    def take(self, items: Array) -> Prepared:
        """The samples of some inputs, which are numbered anew."""
        number = np.full(len(self.labels), -1)
        number[items] = np.arange(len(items))
        kept = np.flatnonzero(number[self.item] >= 0)
        samples = [self.samples[i] for i in kept.tolist()]
        return Prepared(samples, number[self.item[kept]], self.labels[items])


def prepare_rows(
    rows: Sequence[Row],
    preprocessor: Preprocessor[Any, Any],
    classes: Sequence[str],
    *,
    skip_bad: int,
    advance: Callable[[], None] = lambda: None,
) -> Prepared:
    """Decode and prepare every row.

    Args:
        rows: of one part.
        preprocessor: with the parameters of the head.
        classes: labels in the order of outputs; none for quantities.
        skip_bad: how many may fail.
        advance: called after every row.

    Raises:
        InvalidInputError: more rows failed, or all of a class; the first ones are named with
            their reasons.
    """
    samples: list[Sample] = []
    items: list[int] = []
    kept: list[Row] = []
    bad: list[str] = []
    for row in rows:
        try:
            found = samples_of(row.value, preprocessor)
        except (InputError, OSError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            bad.append(f"{row.where}: {reason or error}")
        else:
            items += [len(kept)] * len(found)
            samples += found
            kept.append(row)
        advance()
    if len(bad) > skip_bad:
        more = f" and {len(bad) - _SHOWN} more" if len(bad) > _SHOWN else ""
        raise InvalidInputError(
            f"{len(bad)} of {len(rows)} inputs cannot be used; --skip-bad {len(bad)} goes on "
            f"without them: {'; '.join(bad[:_SHOWN])}{more}"
        )
    if not kept:
        raise InvalidInputError("no input is left")
    if classes and (lost := {str(row.label) for row in rows} - {str(row.label) for row in kept}):
        raise InvalidInputError(
            f"every input of {', '.join(sorted(lost)[:_SHOWN])} was skipped, the first is "
            f"{bad[0]}; mend one, or take the class out"
        )
    index = {name: number for number, name in enumerate(classes)}
    labels = [index[str(row.label)] if classes else row.label for row in kept]
    wanted = np.array(labels, dtype=np.int64 if classes else np.float32)
    return Prepared(samples, np.array(items, dtype=np.int64), wanted, tuple(bad))


def samples_of(value: Value, preprocessor: Preprocessor[Any, Any]) -> list[Sample]:
    """The samples of one input.

    Raises:
        InputError: it is not what the pre-processor takes.
    """
    if isinstance(value, Pixel):
        return [value.scene.samples(preprocessor)[value.index]]
    if isinstance(value, Path):
        prepared = preprocessor.prepare(preprocessor.decode(_read(value, preprocessor)))
    elif isinstance(value, np.ndarray):
        prepared = _prepare_array(value, preprocessor)
    else:
        prepared = preprocessor.prepare(preprocessor.decode_json(value))
    if "grid" in prepared.context:  # one sample per pixel: a patch is about its middle
        height, width = prepared.context["grid"]
        return [prepared.samples[height // 2 * width + width // 2]]
    return list(prepared.samples)


def _read(path: Path, preprocessor: Preprocessor[Any, Any]) -> bytes:
    most = preprocessor.limits.bytes
    if path.stat().st_size > most:
        raise TooLargeError(f"the file is larger than {most:,} bytes")
    return path.read_bytes()


def _prepare_array(array: Array, preprocessor: Preprocessor[Any, Any]) -> Any:
    modality = preprocessor.modality
    if modality is Modality.IMU:
        return preprocessor.prepare(Recording(array.astype(np.float64)))
    if modality in _AS_NPY:
        file = io.BytesIO()
        np.save(file, array[None] if array.ndim == 1 else array)
        return preprocessor.prepare(preprocessor.decode(file.getvalue()))
    if modality in _AS_PICTURE:
        return preprocessor.prepare(array[..., 0] if array.shape[2:] == (1,) else array)
    raise InvalidInputError(f"arrays are not taken for {modality.value}; give files or a table")
