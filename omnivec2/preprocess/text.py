"""Text and sentence pairs -> WordPiece ids of BERT (uncased, 30,522 entries)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field, JsonValue

from omnivec2.errors import (
    InvalidInputError,
    TooLargeError,
    UndecodableError,
    UnsupportedMediaTypeError,
)
from omnivec2.preprocess.base import (
    Array,
    DynamicAxis,
    Parameters,
    Prepared,
    Preprocessor,
    json_type,
)
from omnivec2.preprocess.formats.guards.base64_text import decode_base64_text
from omnivec2.preprocess.formats.guards.json_text import decode_utf8, parse_json, unwrap_inputs
from omnivec2.preprocess.formats.texts.document_files import refuse_document
from omnivec2.preprocess.formats.texts.text_checks import check_ids, check_text
from omnivec2.preprocess.formats.texts.text_pairs import split_pair
from omnivec2.preprocess.notes import NoteCode, note
from omnivec2.preprocess.source_options import SourceOptions, stated
from omnivec2.spec import HeadSpec, Limits, Modality, TensorSpec
from omnivec2.wordpiece import tokenizer

Text = str | tuple[str, str]
"""One text, or a pair of them."""

# BERT uncased: [CLS] and [SEP]; ordinary word pieces lie from 1996 to 30521.
_CLS, _SEP, _FIRST_WORD, _END_WORD = 101, 102, 1996, 30_522

_SURROGATE = re.compile("[\ud800-\udfff]")
_NAMES = ("input_ids", "token_type_ids", "attention_mask")

_PAIR_FORMS = '{"text": "…", "text_pair": "…"} or a list of two strings'


class TextOptions(SourceOptions):
    """What callers state about texts."""

    truncate: bool | None = Field(
        default=None,
        description="false refuses a text that is over the limit of tokens; its end is cut "
        "otherwise, with a note",
    )
    truncation_direction: Literal["left", "right"] | None = Field(
        default=None,
        description="side of a text over the limit of tokens that is cut: left is its beginning, "
        "right its end; default right",
    )


class TextParameters(Parameters):
    """Frozen parameters of the text preprocessor."""

    max_tokens: int = 256
    pair: bool = False


class TextPreprocessor(Preprocessor[TextParameters, Text]):
    """A text (or, for a pair head, two) -> ids, segment ids and attention mask."""

    modality = Modality.TEXT
    media_types: ClassVar[dict[str, str]] = {
        "text/plain": "plain text (UTF-8)",
        "application/json": "JSON",
    }
    parameters_type = TextParameters
    source_options_type = TextOptions
    answers_in_slices = True
    default_limits = Limits(bytes=2**20, characters=100_000, tokens=256)

    def __init__(self, parameters: TextParameters, limits: Limits | None = None) -> None:
        defaults = self.default_limits.model_copy(update={"tokens": parameters.max_tokens})
        super().__init__(parameters, limits or defaults)
        self._tokenizer = tokenizer(parameters.max_tokens)

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """Three int32 tensors (tokens,); ``token_type_ids`` is 1 in the second text."""
        return tuple(TensorSpec(name=name, dtype="int32", shape=(-1,)) for name in _NAMES)

    @classmethod
    def dynamic_axes(cls, head: HeadSpec) -> dict[str, DynamicAxis]:
        """Return the axis of the tokens, which the three tensors share."""
        max_tokens = TextParameters.model_validate(head.preprocess.parameters).max_tokens
        examples = tuple(sorted({2, min(19, max_tokens), max_tokens}))
        names = tuple(tensor.name for tensor in head.inputs)
        return {"tokens": DynamicAxis(names, 2, max_tokens, examples)}

    @classmethod
    def random_inputs(
        cls, head: HeadSpec, batch: int, lengths: Mapping[str, int], rng: np.random.Generator
    ) -> dict[str, Array]:
        """Draw word pieces between [CLS] and [SEP]; every text but the first is padded."""
        size = lengths["tokens"]
        real = rng.integers(2, size + 1, batch)
        real[0] = size
        place = np.arange(size)[None, :]
        mask = place < real[:, None]
        ids = rng.integers(_FIRST_WORD, _END_WORD, (batch, size))
        ids[:, 0] = _CLS
        ids[np.arange(batch), real - 1] = _SEP
        second = mask & (place > real[:, None] // 2)
        return {"input_ids": ids * mask, "token_type_ids": second, "attention_mask": mask}

    @property
    def json_example(self) -> JsonValue:
        """A text, or two of them for a pair head."""
        if self.parameters.pair:
            return {"text": "He said hello.", "text_pair": "He greeted them."}
        return "A quiet film that stays with you."

    def sniff(self, data: bytes) -> str | None:
        """Detect JSON if it parses as an object, list or string, else plain text if it is UTF-8."""
        if data.lstrip()[:1] in (b"{", b"[", b'"'):
            try:
                parse_json(data)
            except UndecodableError:
                pass
            else:
                return "application/json"
        try:
            decode_utf8(data)
        except UndecodableError:
            return None
        return "text/plain"

    def may_expand(self, value: bytes | JsonValue) -> bool:
        """Return False: a text is its bytes."""
        return False

    def is_native(self, value: bytes | JsonValue) -> bool:
        """Return False: the tokenizer is given characters that were checked."""
        return False

    def split(self, value: JsonValue) -> list[JsonValue] | None:
        """Split a list of inputs; for a pair head, a list of strings is a single pair."""
        if not isinstance(value, list):
            return None
        if self.parameters.pair and value and all(isinstance(item, str) for item in value):
            return None
        return value

    def decode(self, data: bytes, media_type: str | None = None) -> Text:
        """Decode plain text or JSON; a pair is two lines, or two fields separated by a tab."""
        kind = media_type or self.sniff(data) or "text/plain"
        if kind not in self.media_types:
            raise UnsupportedMediaTypeError(f"{kind} is not accepted; expected {self.accepts}")
        if kind == "application/json":
            return self.decode_json(unwrap_inputs(parse_json(data)))
        refuse_document(data)
        text = decode_utf8(data)
        if not self.parameters.pair:
            return self._check_text(text)
        first, second = split_pair(text.strip())
        return self._check_text(first), self._check_text(second)

    def decode_json(self, value: JsonValue) -> Text:
        """Decode a string, ``{"text": …}``, or a pair as an object or a list of two strings."""
        if self.parameters.pair:
            return self._pair(value)
        if isinstance(value, dict):
            unknown = [key for key in value if key != "text"]
            if unknown or "text" not in value:
                raise InvalidInputError(
                    'this head takes one text: expected a string or {"text": "…"}, '
                    f"got an object with {', '.join(map(repr, value)) or 'no fields'}",
                    field="inputs",
                )
            return self._check_text(value["text"], "inputs.text")
        return self._check_text(value)

    def prepare(self, native: Text) -> Prepared:
        """Tokenize a text or a pair; tokens beyond ``max_tokens`` are cut, as the caller states.

        Context: ``encoding``, the tokens with their places in the text; and ``cut``, the number
        of tokens that were cut, if any.

        Raises:
            TooLargeError: Tokens would be cut, and the caller states that none may be.
        """
        first, second = (native, None) if isinstance(native, str) else native
        from_left = stated(TextOptions).truncation_direction == "left"
        pieces = tokenizer(self.parameters.max_tokens, "left") if from_left else self._tokenizer
        encoding = pieces.encode(first, second)
        limit = self.limits.tokens
        columns = (encoding.ids, encoding.type_ids, encoding.attention_mask)
        if limit is not None and len(encoding.ids) > limit:
            raise TooLargeError(f"text has more than {limit} tokens", field="inputs")
        sample = {n: np.asarray(c, np.int32) for n, c in zip(_NAMES, columns, strict=True)}
        cut = sum(rest.special_tokens_mask.count(0) for rest in encoding.overflowing)
        if cut:
            self._note_cut(cut, "beginning" if from_left else "end")
        check_ids(encoding.ids)
        return Prepared([sample], {"encoding": encoding} | ({"cut": cut} if cut else {}))

    def _note_cut(self, cut: int, part: str) -> None:
        """Note which part of a text is not read, or refuse to read less than all."""
        kept = self.parameters.max_tokens
        if stated(TextOptions).truncate is False:
            raise TooLargeError(
                f"the text is {cut:,} tokens longer than the {kept:,} that are read, and truncate "
                "is false; send shorter texts, such as its paragraphs",
                field="inputs",
            )
        note(
            NoteCode.CUT,
            f"the text was cut (truncated) at {kept} tokens: its {part} was not read; send "
            "shorter texts, such as its paragraphs",
            count=cut,
        )

    def _pair(self, value: JsonValue) -> tuple[str, str]:
        if isinstance(value, list) and len(value) == 2:
            return self._check_text(value[0], "inputs[0]"), self._check_text(value[1], "inputs[1]")
        if isinstance(value, dict) and set(value) == {"text", "text_pair"}:
            return (
                self._check_text(value["text"], "inputs.text"),
                self._check_text(value["text_pair"], "inputs.text_pair"),
            )
        fields = f" with {', '.join(value)[:120] or 'no fields'}" if isinstance(value, dict) else ""
        raise InvalidInputError(
            f"this head compares two texts: expected {_PAIR_FORMS}, got {json_type(value)}{fields}",
            field="inputs",
        )

    def _check_text(self, text: JsonValue, field: str = "inputs") -> str:
        if not isinstance(text, str):
            raise InvalidInputError(f"expected a string, got {json_type(text)}", field=field)
        if text[:10].lower() == "data:text/" and "," in text:
            text = decode_utf8(decode_base64_text(text, self.limits.bytes, self.accepts))
        if not text.strip():
            raise InvalidInputError("text is empty", field=field)
        limit = self.limits.characters
        if limit is not None and len(text) > limit:
            raise TooLargeError(f"text is longer than {limit:,} characters", field=field)
        if _SURROGATE.search(text):
            raise InvalidInputError("text holds half a surrogate pair", field=field)
        check_text(text)
        return text


PREPROCESSOR = TextPreprocessor
