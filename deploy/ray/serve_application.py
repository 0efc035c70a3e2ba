"""The service as an application of Ray Serve: ``serve run deploy.ray.serve_application:build``.

Every replica is a gateway with the embedded runtime and all routes, and Ray routes requests to a
replica only once it has its models.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from fastapi import FastAPI
from pydantic import BaseModel
from ray import serve
from ray.serve import Application

from omnivec2_api.repository_cache import find_repository
from service.app import create_app
from service.settings import Settings


class Options(BaseModel):
    """The arguments of the application: ``serve run … cpus=4 max_replicas=16``."""

    model_repo: Path = Path("model_repo")
    """A model repository, or an exported checkpoint, on every node."""

    cpus: int = 1
    """Cores of a replica."""

    gpus: float = 0.0
    """GPUs of a replica; may be a fraction."""

    min_replicas: int = 1
    max_replicas: int = 4

    target_ongoing_requests: float = 8.0
    """Requests under way in a replica, above which Ray starts another."""


def build(options: Options) -> Application:
    """Return the application."""

    def make_app() -> FastAPI:
        threads = {"inference_threads": options.cpus, "host_threads": options.cpus}
        settings = Settings(runtime="embedded").model_copy(update=threads)
        repository = find_repository(options.model_repo, settings.cache_directory)
        return create_app(settings.model_copy(update={"model_repo": repository}))

    class Gateway:
        was_ready = False

        async def check_health(self) -> None:
            """Wait until the models are loaded; then raise an error if they cannot be used."""
            gateway = self.app.state.gateway  # type: ignore[attr-defined]
            while not (health := await gateway.health()).ready:
                if self.was_ready or gateway.failure:
                    raise RuntimeError(health.detail)
                await asyncio.sleep(0.1)
            self.was_ready = True

    deployment = serve.deployment(
        serve.ingress(make_app)(Gateway),
        name="omnivec2",
        ray_actor_options={"num_cpus": options.cpus, "num_gpus": options.gpus},
        # The gateway's own admission control refuses what cannot be answered in time.
        max_ongoing_requests=256,
        autoscaling_config={
            "min_replicas": options.min_replicas,
            "max_replicas": options.max_replicas,
            "target_ongoing_requests": options.target_ongoing_requests,
        },
    )
    return deployment.bind()
