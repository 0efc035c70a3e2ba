"""Summarization: the token ids of a search -> text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, cast

from pydantic import BaseModel, Field, JsonValue

from omnivec2.errors import InvalidInputError, InvalidParameterError, ModelNotReadyError
from omnivec2.generation import IDS, SearchOptions
from omnivec2.postprocess.base import Array, Parameters, Postprocessor
from omnivec2.spec import HeadSpec, TaskFamily
from omnivec2.wordpiece import text_of, tokenizer


class Summary(BaseModel):
    """The summary of an input."""

    summary_text: str


class GenerateParameters(Parameters):
    """The parameters of the search for a text; the head's ``generation`` has the defaults."""

    max_new_tokens: int | None = Field(default=None, ge=1, description="maximum number of tokens")
    max_length: int | None = Field(default=None, ge=1, description="an alias of max_new_tokens")
    num_beams: int | None = Field(default=None, ge=1, description="number of beams; 1 is greedy")
    length_penalty: float | None = Field(
        default=None,
        ge=-10,
        le=10,
        description="exponent of the length that a beam's log-probability is divided by",
    )
    no_repeat_ngram_size: int | None = Field(
        default=None, ge=0, description="length of token sequences that never repeat; 0 allows all"
    )
    do_sample: Literal[False] | None = Field(
        default=None, description="only false: the same text always has the same summary"
    )


class SummarizationParameters(GenerateParameters):
    """Hugging Face's parameters of summarization; those of the search in either place."""

    clean_up_tokenization_spaces: bool | None = Field(
        default=None, description="false keeps spaces around punctuation, and lower case"
    )
    generate_parameters: GenerateParameters | None = Field(
        default=None, description="parameters of the search; they override those outside"
    )
    truncation: Literal["do_not_truncate", "longest_first", "only_first"] | None = Field(
        default=None,
        description="do_not_truncate refuses a text that is too long; by default its end is cut",
    )


class SummarizationPostprocessor(Postprocessor):
    """Makes ``[{"summary_text"}]``: one summary per input, always in a list, as clients expect."""

    family = TaskFamily.SUMMARIZATION
    parameters_type = SummarizationParameters

    def __init__(self) -> None:
        tokenizer()  # reading the vocabulary takes a while: do it before the first request

    def __call__(
        self,
        outputs: Mapping[str, Array],
        context: Mapping[str, Any],
        spec: HeadSpec,
        parameters: SummarizationParameters,
    ) -> JsonValue:
        """Make the answer to one input from the outputs of a search; see the base class."""
        if parameters.truncation == "do_not_truncate" and (cut := context.get("cut")):
            raise InvalidInputError(
                f"the text is {cut:,} tokens longer than the {spec.limits.tokens:,} that are "
                "read, and truncation is do_not_truncate",
                field="inputs",
            )
        tidy = parameters.clean_up_tokenization_spaces is not False
        texts = [text_of(ids, tidy=tidy) for ids in generated_ids(outputs, spec)]
        return {"summary_text": " ".join(texts)}

    def search_options(self, spec: HeadSpec, parameters: SummarizationParameters) -> SearchOptions:
        """Return the request's options, completed by the head's own; see the base class."""
        assert spec.generation is not None, f"{spec.route} writes no text"
        generation = spec.generation
        defaults = SearchOptions.of(generation)
        tokens = _requested(parameters, "max_new_tokens", "max_length")
        beams = _requested(parameters, "num_beams")
        penalty = _requested(parameters, "length_penalty")
        size = _requested(parameters, "no_repeat_ngram_size")
        return SearchOptions(
            max_new_tokens=_within_maximum(
                tokens, defaults.max_new_tokens, generation.max_new_tokens
            ),
            num_beams=_within_maximum(beams, defaults.num_beams, generation.max_beams),
            length_penalty=defaults.length_penalty if penalty is None else penalty[1],
            no_repeat_ngram_size=defaults.no_repeat_ngram_size if size is None else size[1],
        )

    def combine(self, results: Sequence[JsonValue], *, batched: bool, spec: HeadSpec) -> JsonValue:
        """Return a list of summaries, whether a list of inputs was sent or not."""
        return list(results)

    def response_schema(self, spec: HeadSpec) -> type[Any]:
        """Return the type of the response body to one input."""
        return cast(type[Any], list[Summary])

    def batch_schema(self, spec: HeadSpec) -> type[Any]:
        """Return the same type: the summaries of all inputs are in one list."""
        return self.response_schema(spec)


def generated_ids(outputs: Mapping[str, Array], spec: HeadSpec) -> Array:
    """Return the token ids of a search, (samples, T).

    Raises:
        ModelNotReadyError: the outputs have none.
    """
    ids = outputs.get(IDS)
    if ids is None or ids.ndim != 2 or len(ids) == 0 or ids.dtype.kind != "i":
        raise ModelNotReadyError(f"{spec.route} gives no token ids")
    return ids


def _requested(parameters: SummarizationParameters, *names: str) -> tuple[str, Any] | None:
    """Return the field and value of a parameter, if given; the inner one wins, then the first."""
    places = (("generate_parameters.", parameters.generate_parameters), ("", parameters))
    for prefix, place in places:
        for name in names:
            if place is not None and (value := getattr(place, name)) is not None:
                return f"parameters.{prefix}{name}", value
    return None


def _within_maximum(requested: tuple[str, Any] | None, default: int, maximum: int) -> int:
    if requested is None:
        return default
    field, value = requested
    if value > maximum:
        name = field.removeprefix("parameters.")
        raise InvalidParameterError(f"{name} must be at most {maximum}, got {value}", field=field)
    return int(value)


POSTPROCESSOR = SummarizationPostprocessor
