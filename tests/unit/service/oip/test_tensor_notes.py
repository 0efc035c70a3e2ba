"""Tensors that are unlike the training data are noted over both transports of the protocol."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import grpc
import numpy as np
import pytest
from fastapi import FastAPI
from tritonclient.grpc import service_pb2

from omnivec2.arrays import Array
from omnivec2.familiarity import Familiarity
from omnivec2.preprocess.notes import NoteCode
from service.http.notes_header import parse_notes
from service.runtimes.base import Inference, Model
from tests.support.checkpoints.references import WIDTH, made_up_reference
from tests.support.requests.asgi import SENTIMENT, Reply, ask, run
from tests.support.requests.oip import json_body
from tests.support.service_parts.service_fakes import FakeRuntime

INFER = "/v2/models/text_sentiment/infer"
METHOD = "/inference.GRPCInferenceService/ModelInfer"
KNOWN, STRANGE = [5, 6, 7], [99, 6, 7]
FAR = NoteCode.FAR_FROM_TRAINING.value


class SummarisingRuntime(FakeRuntime):
    """Hands out summaries: those of rows that begin with 99 are far from all training data."""

    def __init__(self) -> None:
        super().__init__(SENTIMENT)
        self._models = {
            SENTIMENT.name: Model(SENTIMENT, "7", familiarity=Familiarity(made_up_reference()))
        }

    async def infer(self, model: Model, inputs: Mapping[str, Array]) -> Inference:
        answer = await super().infer(model, inputs)
        far = inputs["input_ids"][:, :1] == STRANGE[0]
        return Inference({**answer.outputs, "f_mean": np.where(far, 50.0, np.zeros(WIDTH))}, 0, 0)


def tensors(*rows: list[int]) -> dict[str, Array]:
    ids = np.array(rows, np.int32)
    return {"input_ids": ids, "token_type_ids": ids * 0, "attention_mask": ids * 0 + 1}


async def over_http(app: FastAPI, *rows: list[int], **headers: str) -> Reply:
    return await ask(app, INFER, json_body(tensors(*rows)), **headers)


async def over_grpc(app: FastAPI, *rows: list[int], strict: str = "false") -> Any:
    request = service_pb2.ModelInferRequest(model_name=SENTIMENT.name)
    for name, array in tensors(*rows).items():
        request.inputs.add(name=name, datatype="INT32", shape=array.shape)
        request.raw_input_contents.append(array.tobytes())
    async with grpc.aio.insecure_channel(app.state.gateway.grpc_address) as channel:
        infer = channel.unary_unary(
            METHOD,
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=service_pb2.ModelInferResponse.FromString,
        )
        return await infer(request, metadata=(("x-strict", strict),))


async def counted(app: FastAPI) -> bool:
    text = (await ask(app, "/metrics", method="GET")).body.decode()
    return any("input_notes_total{" in line and FAR in line for line in text.splitlines())


def test_rows_far_from_training_are_noted_over_http() -> None:
    async def test(app: FastAPI) -> None:
        known = await over_http(app, KNOWN)
        assert "x-notes" not in known.headers
        assert "parameters" not in known.json
        strange = await over_http(app, KNOWN, STRANGE)
        (note,) = json.loads(strange.json["parameters"]["notes"])
        assert (note["code"], note["count"]) == (FAR, 1)
        assert "1 of 2 rows" in note["text"]
        assert parse_notes(strange.headers["x-notes"]) == [note]
        # Whoever sends tensors gets the network's own.
        (output,) = strange.json["outputs"]
        assert (output["name"], output["data"]) == ("logits", [5, 1, 99, 1])
        assert await counted(app)

    run(test, SummarisingRuntime())


def test_rows_far_from_training_are_noted_over_grpc() -> None:
    async def test(app: FastAPI) -> None:
        assert not (await over_grpc(app, KNOWN)).parameters
        strange = await over_grpc(app, STRANGE)
        (note,) = json.loads(strange.parameters["notes"].string_param)
        assert note["code"] == FAR
        assert await counted(app)

    run(test, SummarisingRuntime(), grpc_port=0)


def test_strict_requests_with_such_rows_are_refused() -> None:
    async def test(app: FastAPI) -> None:
        assert (await over_http(app, KNOWN, X_Strict="true")).status == 200
        refused = await over_http(app, STRANGE, X_Strict="true")
        assert refused.status == 422
        assert refused.json["notes"][0]["code"] == FAR
        assert (await over_grpc(app, KNOWN, strict="true")).outputs
        with pytest.raises(grpc.aio.AioRpcError, match="strict: the input is unlike") as caught:
            await over_grpc(app, STRANGE, strict="true")
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert await counted(app)

    run(test, SummarisingRuntime(), grpc_port=0)
