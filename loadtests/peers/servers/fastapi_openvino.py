"""FastAPI with OpenVINO, as an expert writes it: a worker process per core, a stream in each.

OpenVINO chooses the precision for this processor, such as bfloat16 where it is fast. The shape is
static, which is faster. One process with a stream per core would do, but OpenVINO 2026.4 answers
wrongly when several streams share weights that are stored as int8.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import openvino as ov
import uvicorn
from anyio import to_thread
from fastapi import Body, FastAPI
from peer_model import CORES, GRAPH, PORT, SIDE, Answer, rank, read_pixels

SETTINGS = {"NUM_STREAMS": 1, "INFERENCE_NUM_THREADS": 1, "ENABLE_CPU_PINNING": False}


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Compile the model, once per worker."""
    to_thread.current_default_thread_limiter().total_tokens = 1
    core = ov.Core()
    graph = core.read_model(GRAPH)
    graph.reshape({"pixels": [1, SIDE, SIDE, 3]})
    app.state.request = core.compile_model(graph, "CPU", SETTINGS).create_infer_request()
    yield


app = FastAPI(lifespan=lifespan)


@app.post("/predict")
def predict(picture: bytes = Body(media_type="image/jpeg")) -> Answer:
    """Classify one JPEG."""
    logits = app.state.request.infer({"pixels": read_pixels(picture)[None]})["logits"]
    return rank(logits[0])


if __name__ == "__main__":
    uvicorn.run("fastapi_openvino:app", port=PORT, workers=CORES, log_level="warning")
