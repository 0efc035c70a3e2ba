"""FastAPI with ONNX Runtime: a worker process per core, as FastAPI's "Server Workers" advises.

The endpoint is a plain function, which FastAPI runs in a thread pool, here of one thread per
worker: more would only take turns on its core.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvicorn
from anyio import to_thread
from fastapi import Body, FastAPI
from peer_model import CORES, PORT, Answer, OnnxModel, read_pixels


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Load the model, once per worker."""
    to_thread.current_default_thread_limiter().total_tokens = 1
    app.state.model = OnnxModel()
    yield


app = FastAPI(lifespan=lifespan)


@app.post("/predict")
def predict(picture: bytes = Body(media_type="image/jpeg")) -> Answer:
    """Classify one JPEG."""
    model: OnnxModel = app.state.model
    return model.classify([read_pixels(picture)])[0]


if __name__ == "__main__":
    uvicorn.run("fastapi_onnxruntime:app", port=PORT, workers=CORES, log_level="warning")
