"""The gateway with a defect put in on purpose, for tests that must notice it.

As a process of its own, so that load comes to it as to the real one::

    python -m tests.support.gateways.altered_gateway MODEL_REPO --delay-seconds 0.3
"""

from __future__ import annotations

import argparse
import asyncio
import re
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import uvicorn
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from omnivec2.preprocess import Array
from service.app import create_app
from service.runtimes.base import Inference, Model
from service.runtimes.embedded.runtime import EmbeddedRuntime
from service.settings import Settings
from tests.support.documents import ROOT

_ADDRESS = re.compile(r"at (http://\S+)")

FAULTS = {
    "a bare 500": ("/healthz", 500),
    "an undocumented answer": ("/predict/text/sentiment", 200),
}


class SlowedRuntime(EmbeddedRuntime):
    """Takes a constant time longer for every batch."""

    def __init__(self, settings: Settings, delay_seconds: float) -> None:
        super().__init__(settings)
        self._delay_seconds = delay_seconds

    async def infer_all(
        self, models: Sequence[Model], inputs: Mapping[str, Array]
    ) -> list[Inference]:
        """As the real runtime, later."""
        await asyncio.sleep(self._delay_seconds)
        return await super().infer_all(models, inputs)

    async def infer(self, model: Model, inputs: Mapping[str, Array]) -> Inference:
        """As the real runtime, later."""
        if not model.steps:  # else infer_all is asked, which is late already
            await asyncio.sleep(self._delay_seconds)
        return await super().infer(model, inputs)


class FaultMiddleware:
    """Answers one path with something that its documentation does not say."""

    def __init__(self, app: ASGIApp, path: str, status: int) -> None:
        self.app, self._path, self._status = app, path, status

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] == "http" and scope["path"] == self._path:
            await JSONResponse({"wrong": True}, self._status)(scope, receive, send)
            return
        await self.app(scope, receive, send)


@contextmanager
def altered_gateway(
    model_repo: Path, *, delay_seconds: float = 0.0, fault: str = ""
) -> Iterator[str]:
    """Run it until the block ends, and yield its address.

    Args:
        model_repo: The model repository that it serves.
        delay_seconds: The time that every batch takes longer.
        fault: One of ``FAULTS``; none if empty.
    """
    command = [sys.executable, "-m", __name__, str(model_repo), "--fault", fault]
    command += ["--delay-seconds", str(delay_seconds)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            found = _ADDRESS.search(process.stdout.readline())
            assert found, f"the altered gateway ended with {process.wait(10)}"
            yield found[1]
        finally:
            process.terminate()


async def _serve(options: argparse.Namespace) -> None:
    settings = Settings(model_repo=options.model_repo)
    app = create_app(settings, SlowedRuntime(settings, options.delay_seconds))
    if options.fault:
        path, status = FAULTS[options.fault]
        app.add_middleware(FaultMiddleware, path=path, status=status)
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    while not (await app.state.gateway.health()).ready:
        await asyncio.sleep(0.1)
    print(f"at http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
    await serving


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("model_repo", type=Path)
    parser.add_argument("--delay-seconds", type=float, default=0.0)
    parser.add_argument("--fault", default="", choices=["", *FAULTS])
    asyncio.run(_serve(parser.parse_args()))
