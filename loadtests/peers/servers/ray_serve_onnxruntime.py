"""Ray Serve with ONNX Runtime: a replica per core, each with ``serve.batch``."""

from __future__ import annotations

import asyncio
import os
import signal

import ray
from peer_model import CORES, PORT, Answer, Array, OnnxModel, read_pixels
from ray import serve
from starlette.requests import Request


class Classifier:
    """Decodes in a thread; the pictures that wait are classified as a batch."""

    def __init__(self) -> None:
        self.model = OnnxModel()

    @serve.batch(max_batch_size=8, batch_wait_timeout_s=0.005)
    async def classify(self, pixels: list[Array]) -> list[Answer]:
        """Classify the pictures of a batch."""
        return await asyncio.to_thread(self.model.classify, pixels)

    async def __call__(self, request: Request) -> Answer:
        """Classify one JPEG."""
        pixels = await asyncio.to_thread(read_pixels, await request.body())
        answer: Answer = await self.classify(pixels)
        return answer


if __name__ == "__main__":
    ray.init(
        include_dashboard=False,
        num_cpus=CORES,
        log_to_driver=False,
        object_store_memory=2**27,
        _temp_dir=os.environ.get("RAY_TMPDIR"),
    )
    serve.start(http_options={"host": "127.0.0.1", "port": PORT})
    deployment = serve.deployment(
        Classifier,
        num_replicas=CORES,
        max_ongoing_requests=32,
        ray_actor_options={"num_cpus": 1},
    )
    serve.run(deployment.bind(), route_prefix="/predict")
    signal.pause()
