"""Samples in JSON: a list of numbers, or an object that holds one and its sampling rate."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from pydantic import JsonValue

from omnivec2.errors import InvalidInputError
from omnivec2.preprocess.notes import NoteCode, note

_ARRAYS = ("array", "raw", "samples", "waveform", "signal", "speech", "inputvalues", "values",
           "audio", "sound", "data", "inputs", "y")  # fmt: skip
_RATES = ("samplingrate", "samplerate", "samplingratehz", "sampleratehz", "sampleratehertz",
          "samplingfrequency", "framerate", "rate", "sr", "fs")  # fmt: skip
_FILES = ("data", "audio", "inputaudio", "bytes", "file", "content", "base64", "b64", "blob", "raw")
_NAMES_OF_FILES = ("path", "format", "filename", "name", "mimetype", "type")
_SHOWN_KEYS = 6

FORMS = (
    'a file as base64, or samples as {"array": [numbers], "sampling_rate": 16000} or a list of '
    "numbers"
)


class SampleArray(NamedTuple):
    """Samples as they were sent.

    Attributes:
        samples: A float32 array (samples,) or (samples, channels).
        rate_hz: The stated number of samples per second; None if none is stated.
    """

    samples: npt.NDArray[np.float32]
    rate_hz: int | None


def is_array(value: JsonValue) -> bool:
    """Whether a JSON value is a list of numbers, which are the samples of one recording."""
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(item, (int, float)) for item in value)
    )


def file_text(value: Mapping[str, JsonValue]) -> str | None:
    """Return the base64 text of a file that an object holds, or None."""
    by_name = {_plain(key): item for key, item in value.items()}
    for name in _FILES:
        item = by_name.get(name)
        if isinstance(item, str):
            return item
        if name == "inputaudio" and isinstance(item, dict):
            return file_text(item)
    return None


def read_samples(value: JsonValue, max_values: int, max_channels: int) -> SampleArray:
    """Read samples from a list of numbers, or from an object that holds one and its rate.

    Args:
        value: The JSON value.
        max_values: The largest number of samples of a channel.
        max_channels: The largest number of channels.

    Raises:
        InvalidInputError: there is no list of numbers, or the rate is no number.
    """
    if not isinstance(value, dict):
        return SampleArray(_samples(value, max_values, max_channels), None)
    keys = {_plain(key): key for key in value}
    array = next((keys[n] for n in _ARRAYS if isinstance(value.get(keys.get(n, "")), list)), None)
    if array is None:
        shown = ", ".join(list(value)[:_SHOWN_KEYS])
        raise InvalidInputError(
            f"expected {FORMS}; got an object of {shown or 'nothing'}", field="inputs"
        )
    rate = next((keys[name] for name in _RATES if name in keys), None)
    for key in value:
        if key not in (array, rate) and _plain(key) not in _NAMES_OF_FILES:
            note(NoteCode.IGNORED, f"{key[:40]} was not used", field=key[:40])
    samples = _samples(value[array], max_values, max_channels)
    return SampleArray(samples, None if rate is None else _rate(value[rate], rate))


def _plain(key: str) -> str:
    return re.sub("[^a-z0-9]", "", key.lower())


def _rate(value: JsonValue, key: str) -> int | None:
    if value is None:
        return None
    try:
        return round(float(value))  # type: ignore[arg-type] # what else is a number
    except (TypeError, ValueError, OverflowError):
        raise InvalidInputError(
            f"{key} is no number of samples per second", field=f"inputs.{key}"
        ) from None


def _samples(value: JsonValue, max_values: int, max_channels: int) -> npt.NDArray[np.float32]:
    """Return an array (samples,) or (samples, channels), whichever way its channels lie."""
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], list):
        value = value[0]
    if not isinstance(value, list) or not value:
        raise InvalidInputError(f"the samples are no list of numbers; expected {FORMS}",
                                field="inputs")  # fmt: skip
    longest = max(len(value), *(len(item) for item in value[:1] if isinstance(item, list)), 0)
    if longest > max_values:
        raise InvalidInputError(
            f"{longest:,} samples; at most {max_values:,} are accepted", field="inputs"
        )
    try:
        array = np.asarray(value)
        numeric = array.dtype.kind in "iuf"
    except ValueError:
        numeric = False
    if not numeric or array.ndim > 2:
        raise InvalidInputError(
            "the samples are not all numbers, or not of equal channels (array of numbers, or of "
            "lists of numbers)",
            field="inputs",
        )
    samples = array.astype(np.float32)
    if samples.ndim == 2 and samples.shape[0] <= max_channels < samples.shape[1]:
        samples = samples.T
    return np.ascontiguousarray(samples)
