"""What every pre-processor shares: bytes or JSON in, named arrays out.

One class per modality, used by training and by the gateway alike. A pre-processor
works in two steps so that training data, which often arrives already decoded, takes
the same second step as a request does::

    decode(bytes) ─┐
                   ├─► native value ── prepare ──► Prepared (samples + context)
    decode_json ───┘
"""

from __future__ import annotations

import base64
import binascii
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np
from pydantic import BaseModel, ConfigDict, JsonValue

from omnivec2.arrays import Array as Array  # noqa: PLC0414 (exported from here too)
from omnivec2.errors import InvalidInputError, TooLargeError, UndecodableError
from omnivec2.spec import Limits, Modality, TensorSpec

Sample = Mapping[str, Array]
"""Named arrays of one sample, without a batch axis."""

OCTET_STREAM = "application/octet-stream"


class Parameters(BaseModel):
    """Base of every pre-processor's frozen parameters; unknown names are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid")


@dataclass(frozen=True)
class Prepared:
    """One input, ready for the network.

    Attributes:
        samples: one or more samples (one per table row, series channel or pixel;
            one in all for most modalities). May be a lazy sequence.
        context: what post-processing must know about the input: ``size`` (width,
            height) in pixels, ``grid`` (height, width) of per-pixel samples,
            ``names`` of the samples, ``form`` (``"table"`` or ``"inputs"``), ...
    """

    samples: Sequence[Sample]
    context: Mapping[str, Any] = field(default_factory=dict)


ParametersT = TypeVar("ParametersT", bound=Parameters)
NativeT = TypeVar("NativeT")


class Preprocessor(ABC, Generic[ParametersT, NativeT]):
    """Turns what people have into what the network takes.

    Class attributes:
        modality: the one it serves.
        version: raised whenever the same bytes would give other arrays.
        media_types: accepted content types -> short human name (``"image/png": "PNG"``).
        parameters_type: pydantic model of ``parameters``.
        default_limits: the modality's limits unless a head spec narrows them.
    """

    modality: ClassVar[Modality]
    version: ClassVar[int] = 1
    media_types: ClassVar[Mapping[str, str]]
    parameters_type: ClassVar[type[Parameters]]
    default_limits: ClassVar[Limits]

    def __init__(self, parameters: ParametersT, limits: Limits | None = None) -> None:
        self.parameters = parameters
        self.limits = limits or self.default_limits

    @property
    @abstractmethod
    def inputs(self) -> tuple[TensorSpec, ...]:
        """The tensors ``prepare`` makes, in the order of the graph's inputs."""

    @abstractmethod
    def decode(self, data: bytes, media_type: str | None = None) -> NativeT:
        """Decode one file.

        Args:
            data: the file's bytes, at most ``limits.bytes`` long.
            media_type: an accepted content type, or None to tell by the content.

        Raises:
            UndecodableError: the bytes are not a readable file of an accepted type.
            TooLargeError: a declared size is over its limit; found before decoding.
            InvalidInputError: readable, but not usable.
        """

    def decode_json(self, value: JsonValue) -> NativeT:
        """Decode one JSON input; files arrive as base64 text unless overridden."""
        return self.decode(self.decode_base64(value))

    @abstractmethod
    def prepare(self, native: NativeT) -> Prepared:
        """Turn a decoded value into samples; deterministic."""

    def sniff(self, data: bytes) -> str | None:
        """The accepted content type the bytes look like, or None if none."""
        return None

    def split(self, value: JsonValue) -> list[JsonValue] | None:
        """The inputs in a JSON ``inputs`` value, or None if it is a single input.

        A list is a list of inputs, unless a modality's own JSON form is a list.
        """
        return list(value) if isinstance(value, list) else None

    def decode_base64(self, value: JsonValue) -> bytes:
        """Bytes of a base64 string (a ``data:`` URL's head is allowed and ignored)."""
        if not isinstance(value, str):
            raise InvalidInputError(
                f"expected a base64 string holding {self.accepts}, got {json_type(value)}",
                field="inputs",
            )
        text = value.partition(",")[2] if value.startswith("data:") else value
        if len(text) * 3 // 4 > self.limits.bytes + 2:
            raise TooLargeError(f"input is larger than {self.limits.bytes:,} bytes", field="inputs")
        try:
            return base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError) as error:
            raise UndecodableError(
                f"expected base64 text holding {self.accepts}: {error}", field="inputs"
            ) from error

    @property
    def json_example(self) -> JsonValue:
        """One input in its JSON form, for documentation; None is a file as base64."""
        return None

    @property
    def accepts(self) -> str:
        """Human list of accepted formats, for messages."""
        return ", ".join(dict.fromkeys(self.media_types.values()))


def json_type(value: JsonValue) -> str:
    """JSON's own name for a value's type, for messages."""
    names = {dict: "an object", list: "a list", str: "a string", bool: "a boolean"}
    if value is None:
        return "null"
    return names.get(type(value), "a number")


def collate(samples: Sequence[Sample]) -> dict[str, Array]:
    """Stack samples into a batch; shorter ones are padded with zeros at the end.

    Masks are ordinary tensors of a sample, so padding with zeros marks itself.

    Returns:
        name -> array of shape (batch, ...), contiguous.
    """
    batch: dict[str, Array] = {}
    for name, first in samples[0].items():
        arrays = [sample[name] for sample in samples]
        shape = tuple(max(sizes) for sizes in zip(*(a.shape for a in arrays), strict=True))
        if all(a.shape == shape for a in arrays):
            batch[name] = np.stack(arrays)
            continue
        padded = np.zeros((len(arrays), *shape), dtype=first.dtype)
        for row, array in zip(padded, arrays, strict=True):
            row[tuple(slice(0, size) for size in array.shape)] = array
        batch[name] = padded
    return batch
