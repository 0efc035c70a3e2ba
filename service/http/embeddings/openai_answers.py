"""Answers in OpenAI's form: lists of embeddings, and of models."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Literal

import numpy as np
from pydantic import BaseModel, Field

from service.http.embeddings.embedding_requests import Encoding
from service.pipeline.host_stages import Head

OWNER = "omnivec2"


class OpenAiEmbedding(BaseModel):
    """One vector."""

    object: Literal["embedding"] = "embedding"
    index: int = Field(description="place of the input in the request")
    embedding: list[float] | str = Field(
        description="the vector, of length 1; as base64, float32 in little endian"
    )


class OpenAiUsage(BaseModel):
    """The size of a request."""

    prompt_tokens: int = Field(
        description="word pieces of texts; of other inputs, positions that the network computes"
    )
    total_tokens: int


class OpenAiEmbeddingList(BaseModel):
    """The answer of ``POST /v1/embeddings``."""

    object: Literal["list"] = "list"
    data: list[OpenAiEmbedding]
    model: str = Field(description="the model that answered, by its route")
    usage: OpenAiUsage


class OpenAiModel(BaseModel):
    """A model that ``/v1/embeddings`` takes."""

    id: str
    object: Literal["model"] = "model"
    created: int = Field(default=0, description="0: a head has no date of its own")
    owned_by: str = OWNER


class OpenAiModelList(BaseModel):
    """The answer of ``GET /v1/models``."""

    object: Literal["list"] = "list"
    data: list[OpenAiModel]


def write_embeddings(
    vectors: Sequence[Sequence[float]], head: Head, tokens: int, encoding: Encoding
) -> bytes:
    """Return the body of an answer with embeddings, in the order of the inputs.

    Args:
        vectors: The vectors, one per input.
        head: The head that answered.
        tokens: The tokens of all inputs.
        encoding: The form of the vectors.
    """
    data = [
        OpenAiEmbedding.model_construct(
            object="embedding", index=index, embedding=_encoded(vector, encoding)
        )
        for index, vector in enumerate(vectors)
    ]
    usage = OpenAiUsage(prompt_tokens=tokens, total_tokens=tokens)
    answer = OpenAiEmbeddingList.model_construct(
        object="list", data=data, model=head.spec.route, usage=usage
    )
    return answer.model_dump_json().encode()


def _encoded(vector: Sequence[float], encoding: Encoding) -> list[float] | str:
    if encoding == "float":
        return list(vector)
    return base64.b64encode(np.asarray(vector, "<f4").tobytes()).decode()
