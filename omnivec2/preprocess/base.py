"""The base class of the preprocessors: bytes or JSON in, named arrays out.

There is one class per modality, used by both training and the gateway. A preprocessor
works in two steps, so that training data, which is often decoded already, goes through
the same second step as a request::

    decode(bytes) ─┐
                   ├─► native value ── prepare ──► Prepared (samples + context)
    decode_json ───┘
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np
from pydantic import BaseModel, ConfigDict, JsonValue

from omnivec2.arrays import Array as Array  # noqa: PLC0414 (exported from here too)
from omnivec2.errors import InvalidInputError
from omnivec2.preprocess.formats.guards.base64_text import decode_base64_text, text_of_object
from omnivec2.preprocess.source_options import SOURCES, SourceDescription, SourceOptions
from omnivec2.spec import HeadSpec, Limits, Modality, TensorSpec

Sample = Mapping[str, Array]
"""Named arrays of one sample, without a batch axis."""

OCTET_STREAM = "application/octet-stream"


class Parameters(BaseModel):
    """The base class of a preprocessor's frozen parameters; unknown names are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid")


@dataclass(frozen=True)
class Prepared:
    """One input, ready for the network.

    Attributes:
        samples: One or more samples: one per table row, series channel or pixel, and
            a single one for most modalities. It may be a lazy sequence.
        context: The facts about the input that postprocessing needs: ``size`` (width,
            height) in pixels, ``grid`` (height, width) of per-pixel samples, ``names``
            of the samples, ``form`` (``"table"`` or ``"inputs"``), ...
    """

    samples: Sequence[Sample]
    context: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class DynamicAxis:
    """An axis whose size differs from input to input, such as the tokens of a text.

    Attributes:
        inputs: The names of the tensors whose first axis it is.
        smallest: The smallest size.
        largest: The largest size.
        examples: The sizes at which an exported graph is compared with its network.
    """

    inputs: tuple[str, ...]
    smallest: int
    largest: int
    examples: tuple[int, ...]


ParametersT = TypeVar("ParametersT", bound=Parameters)
NativeT = TypeVar("NativeT")


class Preprocessor(ABC, Generic[ParametersT, NativeT]):
    """Converts files and JSON values of one modality into the network's input arrays.

    Class attributes:
        modality: The modality it serves.
        version: The version, raised whenever the same bytes would give other arrays.
        media_types: The accepted content types -> short names (``"image/png": "PNG"``).
        parameters_type: The pydantic model of ``parameters``.
        source_options_type: The model of what a request's parameters can state of an input.
        takes_tables: Whether its JSON form may be ``{"table": {column: values}}``.
        answers_in_slices: Whether more than ``limits.inputs`` inputs in one request are answered,
            so many at a time; inputs must be small.
        default_limits: The modality's limits unless a head spec narrows them.
    """

    modality: ClassVar[Modality]
    version: ClassVar[int] = 1
    media_types: ClassVar[Mapping[str, str]]
    parameters_type: ClassVar[type[Parameters]]
    source_options_type: ClassVar[type[SourceOptions]] = SourceOptions
    takes_tables: ClassVar[bool] = False
    answers_in_slices: ClassVar[bool] = False
    default_limits: ClassVar[Limits]

    def __init__(self, parameters: ParametersT, limits: Limits | None = None) -> None:
        self.parameters = parameters
        self.limits = limits or self.default_limits

    @property
    def piece_seconds(self) -> float | None:
        """The length of the pieces that a long recording may be cut into; None if it may not."""
        return None

    @property
    @abstractmethod
    def inputs(self) -> tuple[TensorSpec, ...]:
        """The tensors that ``prepare`` makes, in the order of the graph's inputs."""

    @property
    def sources(self) -> Mapping[str, SourceDescription]:
        """What the source of each input tensor is taken for, by its name."""
        known = SOURCES.get(self.modality, {})
        return {name: source.filled(self.parameters) for name, source in known.items()}

    @abstractmethod
    def decode(self, data: bytes, media_type: str | None = None) -> NativeT:
        """Decode one file.

        Args:
            data: The file's bytes, at most ``limits.bytes`` long.
            media_type: An accepted content type, or None to detect it from the content.

        Raises:
            UndecodableError: the bytes are not a readable file of an accepted type.
            TooLargeError: a declared size is over its limit; checked before decoding.
            InvalidInputError: the file is readable, but not usable.
        """

    def decode_json(self, value: JsonValue) -> NativeT:
        """Decode one JSON input: a file as base64 text, unless overridden."""
        return self.decode(self.decode_base64(value))

    @abstractmethod
    def prepare(self, native: NativeT) -> Prepared:
        """Convert a decoded value into samples; the same value always gives the same samples."""

    @classmethod
    def dynamic_axes(cls, head: HeadSpec) -> dict[str, DynamicAxis]:
        """Return the axes of a head's inputs whose size varies, by name; none unless overridden."""
        return {}

    @classmethod
    @abstractmethod
    def random_inputs(
        cls, head: HeadSpec, batch: int, lengths: Mapping[str, int], rng: np.random.Generator
    ) -> dict[str, Array]:
        """Draw a batch of inputs that look like those of real requests.

        Exported graphs are compared with their network on these, so they reach the numbers
        that a request reaches: raw sensor ranges, ids within their vocabularies, masks with
        padding behind. Only the head spec is read: no preprocessor is built for it.

        Args:
            head: The head whose inputs are drawn; it gives the shapes and the parameters.
            batch: The number of samples.
            lengths: The size of each axis of :meth:`dynamic_axes`.
            rng: The source of randomness.

        Returns:
            Name -> array (batch, ...) of any type that can be cast to the tensor's own.
        """

    def sniff(self, data: bytes) -> str | None:
        """Detect the content type of a file, or return None if it is no accepted one."""
        return None

    def may_expand(self, value: bytes | JsonValue) -> bool:
        """Whether an input may hold far more than its bytes, as compressed files do.

        Nothing follows from the size of such an input for the time that it takes. True unless a
        modality knows better.

        Args:
            value: A file's bytes, or a JSON value.
        """
        return True

    def is_native(self, value: bytes | JsonValue) -> bool:
        """Whether code that is not Python reads an input, and may crash on one that is hostile.

        True unless a modality knows better.

        Args:
            value: A file's bytes, or a JSON value.
        """
        return True

    def split(self, value: JsonValue) -> list[JsonValue] | None:
        """Split a JSON ``inputs`` value into its inputs, or return None if it is a single one.

        A list is a list of inputs, unless a modality's own JSON form is a list.
        """
        return list(value) if isinstance(value, list) else None

    def split_file(self, data: bytes, media_type: str | None = None) -> list[bytes] | None:
        """Split a file that holds several inputs, or return None if it is a single one.

        Only for files that are lists by nature and whose parts are files of the same type;
        frames, sheets and series are parts of one input.

        Args:
            data: The file's bytes, at most ``limits.bytes`` long.
            media_type: An accepted content type, or None to detect it from the content.

        Raises:
            UndecodableError: the bytes are not a readable file of an accepted type.
        """
        return None

    def decode_base64(self, value: JsonValue) -> bytes:
        """Decode a base64 string, a ``data:`` URL, or an object that holds one (``{"b64": …}``).

        Raises:
            InvalidInputError: the value is not a string, or it is the address of a file.
            TooLargeError: it decodes to more than ``limits.bytes``.
            UndecodableError: it is not base64.
        """
        text = value if isinstance(value, str) else text_of_object(value, self.accepts)
        if text is None:
            raise InvalidInputError(
                f"expected a base64 string holding {self.accepts}, got {json_type(value)}",
                field="inputs",
            )
        return decode_base64_text(text, self.limits.bytes, self.accepts)

    @property
    def json_example(self) -> JsonValue:
        """One input in its JSON form, for the documentation; None stands for a base64 file."""
        return None

    @property
    def accepts(self) -> str:
        """The accepted formats in words, for messages."""
        return ", ".join(dict.fromkeys(self.media_types.values()))


def input_shape(head: HeadSpec, name: str) -> tuple[int, ...]:
    """Return the shape of an input of a head, without the batch; -1 is a dynamic axis."""
    return next(tensor.shape for tensor in head.inputs if tensor.name == name)


def json_type(value: JsonValue) -> str:
    """Return JSON's own name for the type of a value, for messages."""
    names = {dict: "an object", list: "a list", str: "a string", bool: "a boolean"}
    if value is None:
        return "null"
    return names.get(type(value), "a number")


def collate(samples: Sequence[Sample]) -> dict[str, Array]:
    """Stack samples into a batch; shorter ones are padded with zeros at the end.

    Masks are ordinary tensors of a sample, so padding with zeros marks itself.

    Returns:
        Name -> contiguous array (batch, ...); of a single sample they are views of its arrays.
    """
    if len(samples) == 1:
        return {name: np.ascontiguousarray(array[None]) for name, array in samples[0].items()}
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
