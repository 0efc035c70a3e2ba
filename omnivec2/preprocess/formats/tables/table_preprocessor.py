"""The base class of the modalities that read tables: CSV, Parquet, JSON columns and rows."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar, TypeVar

from pydantic import JsonValue

from omnivec2.errors import UndecodableError, UnsupportedMediaTypeError
from omnivec2.preprocess.base import Parameters, Preprocessor
from omnivec2.preprocess.formats.guards.json_text import decode_utf8, parse_json, unwrap_inputs
from omnivec2.preprocess.formats.tables.csv_reader import read_csv
from omnivec2.preprocess.formats.tables.frame import Frame
from omnivec2.preprocess.formats.tables.json_reader import read_json

ParametersT = TypeVar("ParametersT", bound=Parameters)
NativeT = TypeVar("NativeT")

_PARQUET = b"PAR1"


class TablePreprocessor(Preprocessor[ParametersT, NativeT]):
    """Reads CSV, Parquet or JSON columns and rows; a modality converts the frame."""

    media_types: ClassVar[dict[str, str]] = {
        "text/csv": "CSV",
        "application/csv": "CSV",
        "text/tab-separated-values": "CSV",
        "application/vnd.apache.parquet": "Parquet",
        "application/x-parquet": "Parquet",
        "application/parquet": "Parquet",
        "application/json": "JSON",
    }
    takes_tables = True
    text_numbers: ClassVar[bool] = False
    """Whether a JSON string may spell a number."""

    @abstractmethod
    def from_frame(self, frame: Frame) -> NativeT:
        """Convert a table from any source to the native value."""

    def sniff(self, data: bytes) -> str | None:
        """Detect Parquet by its magic bytes, JSON by its first character; other text is CSV."""
        if data[:4] == _PARQUET:
            return "application/vnd.apache.parquet"
        start = data[:1024].removeprefix(b"\xef\xbb\xbf").lstrip()[:1]
        if start in (b"{", b"["):
            return "application/json"
        try:
            decode_utf8(data)
        except UndecodableError:
            return None
        return "text/csv"

    def may_expand(self, value: bytes | JsonValue) -> bool:
        """Whether it is a Parquet file, or a file of any kind within JSON."""
        return value[:4] == _PARQUET if isinstance(value, bytes) else isinstance(value, str)

    def decode(self, data: bytes, media_type: str | None = None) -> NativeT:
        """Decode one file; see the base class for errors."""
        if not data.strip():
            raise UndecodableError(f"empty input; expected {self.accepts}", field="inputs")
        kind = media_type or self.sniff(data)
        if kind is None:
            raise UndecodableError(f"not a known table format; expected {self.accepts}")
        if kind not in self.media_types:
            raise UnsupportedMediaTypeError(f"{kind} is not accepted; expected {self.accepts}")
        if self.media_types[kind] == "JSON":
            return self.decode_json(unwrap_inputs(parse_json(data)))
        if self.media_types[kind] == "CSV":
            return self.from_frame(read_csv(data, self.limits))
        # Slow to import, and needed for this format alone.
        from omnivec2.preprocess.formats.tables.parquet_reader import read_parquet

        return self.from_frame(read_parquet(data, self.limits))

    def decode_json(self, value: JsonValue) -> NativeT:
        """Decode columns, rows, or a file as a base64 string."""
        if isinstance(value, str):
            return self.decode(self.decode_base64(value))
        return self.from_frame(read_json(value, self.limits, text_numbers=self.text_numbers))

    def split(self, value: JsonValue) -> list[JsonValue] | None:
        """Split a list of tables; a list of rows, or of numbers, is a single one."""
        if not isinstance(value, list) or not value:
            return None
        return None if all(_is_row(item) for item in value) else value


def _is_row(item: JsonValue) -> bool:
    if isinstance(item, dict):
        return not any(isinstance(cell, list | dict) for cell in item.values())
    return not isinstance(item, list | str)
