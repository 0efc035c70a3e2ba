"""The file beside a head that says what its training data look like to the trunk.

``models/<modality>_<task>/training_reference.json`` of a checkpoint; the configuration of a head in
a model repository carries the same JSON as the parameter ``training_reference``.

The trunk gives two *summaries* of each row, vectors of one width: ``f_input_mean`` is the mean of
the row's tokens as they enter the trunk, ``f_mean`` their mean after f's transformer. Training rows
lie close to a plane of few dimensions in each. Of a row x, with the fields of ``Plane``::

    coordinates  z = directions · (x - mean) / deviations        (dimensions,): mean 0, covariance 1
    spread       T = sqrt(mean(z²))                              how far out it lies in the plane
    residual     Q = |x - mean - (directions · (x - mean)) · directions|         how far beside it

which are Hotelling's T² and the squared prediction error of multivariate process control. A third
number, the **contrast**, is linear in all summaries at once and grows from training rows towards
inputs without meaning (noise, constants, random words), as outlier exposure does. The **distance**
of a row is the largest of T / ``spread`` and Q / ``residual`` over all planes and of the contrast,
divided by ``limit``: above 1 it is far from training.

Drift compares batches of rows with the same file: means and covariances of the coordinates are 0
and the identity for training rows, and ``distance_deciles``, ``score_deciles`` and ``label_shares``
are those of rows that were held out, for a population stability index.
"""

from __future__ import annotations

import base64
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from omnivec2.arrays import Array
from omnivec2.errors import ArtifactError
from omnivec2.familiarity.drift_reference import DriftReference

REFERENCE_FILE = "training_reference.json"
_FLOATS, _STEPS = np.dtype("<f2"), np.dtype("i1")
_LARGEST_STEP = 127


class Packed(BaseModel):
    """An array of numbers as JSON holds it.

    Attributes:
        shape: The shape of the array.
        dtype: The type of the values; rows of ``int8`` are multiplied by ``scales``.
        data: The values in base64, little-endian.
        scales: The factor of each row of ``int8``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    shape: tuple[int, ...]
    dtype: Literal["float16", "int8"] = "float16"
    data: str
    scales: tuple[float, ...] = ()

    @classmethod
    def of(cls, array: Array, dtype: Literal["float16", "int8"] = "float16") -> Packed:
        """Pack an array; ``int8`` takes one of two axes and is exact to 1/254 of a row's peak."""
        if dtype == "float16":
            data = base64.b64encode(array.astype(_FLOATS).tobytes()).decode("ascii")
            return cls(shape=array.shape, data=data)
        scales = np.maximum(np.abs(array).max(axis=1), np.finfo(np.float32).tiny) / _LARGEST_STEP
        steps = np.rint(array / scales[:, None]).astype(_STEPS)
        data = base64.b64encode(steps.tobytes()).decode("ascii")
        rounded = tuple(float(f"{scale:.6g}") for scale in scales)
        return cls(shape=array.shape, dtype=dtype, data=data, scales=rounded)

    def unpack(self) -> Array:
        """Return the array in float32.

        Raises:
            ArtifactError: The data are not an array of this shape.
        """
        kind = _FLOATS if self.dtype == "float16" else _STEPS
        try:
            packed = np.frombuffer(base64.b64decode(self.data, validate=True), kind)
            array: Array = packed.reshape(self.shape).astype(np.float32)
            if self.dtype == "int8":
                array = array * np.array(self.scales, np.float32)[:, None]
        except ValueError as error:
            raise ArtifactError(f"{REFERENCE_FILE}: a packed array is broken: {error}") from error
        return array


class Plane(BaseModel):
    """Where a head's training rows lie in one summary of the trunk.

    Attributes:
        mean: The mean of the rows, (width,).
        directions: The orthonormal directions in which they vary most, (dimensions, width).
        deviations: The standard deviation along each direction, (dimensions,).
        spread: The T that hardly any row exceeds; see the module.
        residual: The Q that hardly any row exceeds.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    mean: Packed
    directions: Packed
    deviations: Packed
    spread: float = Field(gt=0)
    residual: float = Field(gt=0)


class Contrast(BaseModel):
    """The direction from training rows to inputs without meaning.

    Attributes:
        weights: The weights of the summaries, one after the other in the order of the planes,
            (width of all,).
        middle: The weighted sum of the median row.
        usual: The weighted sum that hardly any row exceeds.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    weights: Packed
    middle: float
    usual: float


class TrainingReference(BaseModel):
    """What a head's training data look like to the trunk; see the module.

    Attributes:
        planes: A map from the name of a summary to the plane of the training rows in it.
        contrast: The direction towards inputs without meaning.
        limit: The distance, before it is divided by this, beyond which a row is far.
        rows: The number of training rows that the planes were fitted to.
        held_out: The number of other rows that the limit was set on.
        inside: The share of them within the limit.
        distance_deciles: The nine deciles of their distances, divided by the limit.
        score_deciles: The nine deciles of their best scores; empty unless the head has labels.
        label_shares: The shares of the labels that they were given, in the spec's order.
        parts: The content digests of the parts that gave the summaries, by name: with others the
            reference means nothing.
        drift: The held-out rows, as drift is measured from them; None if there are too few.
        data: The name of the data set and of its splits that were taken.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: Literal[1] = 1
    planes: dict[str, Plane] = Field(min_length=1)
    contrast: Contrast | None = None
    limit: float = Field(gt=0)
    rows: int = Field(ge=1)
    held_out: int = Field(ge=0)
    inside: float = Field(ge=0, le=1)
    distance_deciles: tuple[float, ...] = ()
    score_deciles: tuple[float, ...] = ()
    label_shares: tuple[float, ...] = ()
    parts: dict[str, str] = {}
    data: str = ""
    drift: DriftReference | None = None

    @cached_property
    def summaries(self) -> tuple[str, ...]:
        """The names of the trunk's outputs that it needs."""
        return tuple(self.planes)


def read_training_reference(path: Path) -> TrainingReference | None:
    """Read the reference beside a head; None if it has none.

    Raises:
        ArtifactError: The file is not a training reference.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    try:
        return TrainingReference.model_validate_json(data)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "it"
        raise ArtifactError(f"{path}: not a training reference: {place}: {first['msg']}") from error
