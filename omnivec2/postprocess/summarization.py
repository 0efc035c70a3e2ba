"""Summarization: the ids of a search -> text."""

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
    """What a head wrote about an input."""

    summary_text: str


class GenerateParameters(Parameters):
    """How the text is searched for; without them as the head's ``generation`` says."""

    max_new_tokens: int | None = Field(default=None, ge=1, description="most word pieces")
    max_length: int | None = Field(default=None, ge=1, description="the same as max_new_tokens")
    num_beams: int | None = Field(default=None, ge=1, description="1 is greedy search")
    length_penalty: float | None = Field(
        default=None,
        ge=-10,
        le=10,
        description="power of the length that a beam's log-probability is divided by",
    )
    no_repeat_ngram_size: int | None = Field(
        default=None, ge=0, description="no run of so many word pieces twice; 0 allows all"
    )
    do_sample: Literal[False] | None = Field(
        default=None, description="only false: the same text always gets the same summary"
    )


class SummarizationParameters(GenerateParameters):
    """Hugging Face's parameters of summarization; those of a search in either place."""

    clean_up_tokenization_spaces: bool | None = Field(
        default=None, description="false leaves spaces around punctuation, and small letters"
    )
    generate_parameters: GenerateParameters | None = Field(
        default=None, description="of the search; they win over the same ones outside"
    )
    truncation: Literal["do_not_truncate", "longest_first", "only_first"] | None = Field(
        default=None,
        description="do_not_truncate refuses a text that is too long; without it the end is cut",
    )


class SummarizationPostprocessor(Postprocessor):
    """``[{"summary_text"}]``: one summary per input, in a list as Hugging Face's client expects."""

    family = TaskFamily.SUMMARIZATION
    parameters_type = SummarizationParameters

    def __init__(self) -> None:
        tokenizer()  # reading the vocabulary takes a while: not at the first request

    def __call__(
        self,
        outputs: Mapping[str, Array],
        context: Mapping[str, Any],
        spec: HeadSpec,
        parameters: SummarizationParameters,
    ) -> JsonValue:
        """The answer to one input; see the base class. The outputs are those of a search."""
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
        """What the request asks for, the rest as the head has it; see the base class."""
        assert spec.generation is not None, f"{spec.route} writes no text"
        most = spec.generation
        usual = SearchOptions.of(most)
        tokens = _requested(parameters, "max_new_tokens", "max_length")
        beams = _requested(parameters, "num_beams")
        penalty = _requested(parameters, "length_penalty")
        size = _requested(parameters, "no_repeat_ngram_size")
        return SearchOptions(
            max_new_tokens=_within_maximum(tokens, usual.max_new_tokens, most.max_new_tokens),
            num_beams=_within_maximum(beams, usual.num_beams, most.max_beams),
            length_penalty=usual.length_penalty if penalty is None else penalty[1],
            no_repeat_ngram_size=usual.no_repeat_ngram_size if size is None else size[1],
        )

    def combine(self, results: Sequence[JsonValue], *, batched: bool, spec: HeadSpec) -> JsonValue:
        """A list of summaries, whether a list of inputs was sent or not."""
        return list(results)

    def response_schema(self, spec: HeadSpec) -> type[Any]:
        """Type of the response body to one input."""
        return cast(type[Any], list[Summary])


def generated_ids(outputs: Mapping[str, Array], spec: HeadSpec) -> Array:
    """The ids of a search, (samples, T).

    Raises:
        ModelNotReadyError: the outputs hold none.
    """
    ids = outputs.get(IDS)
    if ids is None or ids.ndim != 2 or len(ids) == 0 or ids.dtype.kind != "i":
        raise ModelNotReadyError(f"{spec.route}: no ids of a text came")
    return ids


def _requested(parameters: SummarizationParameters, *names: str) -> tuple[str, Any] | None:
    """Where a parameter was given and its value; the inner place wins, then the first name."""
    places = (("generate_parameters.", parameters.generate_parameters), ("", parameters))
    for prefix, place in places:
        for name in names:
            if place is not None and (value := getattr(place, name)) is not None:
                return f"parameters.{prefix}{name}", value
    return None


def _within_maximum(asked: tuple[str, Any] | None, usual: int, most: int) -> int:
    if asked is None:
        return usual
    field, value = asked
    if value > most:
        name = field.removeprefix("parameters.")
        raise InvalidParameterError(f"{name} must be at most {most}, got {value}", field=field)
    return int(value)
