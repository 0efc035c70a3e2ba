"""The gateway with a decoder that does not come back, for tests of what it does then.

As a process of its own: ``python -m tests.support.gateways.stuck_gateway MODEL_REPO``. The
input ``stuck`` holds its thread for a minute.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

from omnivec2.preprocess import text
from service.gateway import Gateway
from service.server.gateway_process import serve
from service.settings import Settings

_STUCK_SECONDS = 60.0


def main() -> None:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser()
    parser.add_argument("model_repo", type=Path)
    model_repo = parser.parse_args().model_repo
    decode_json = text.TextPreprocessor.decode_json

    def stuck(self: text.TextPreprocessor, value: Any) -> Any:
        if value == "stuck":
            last = time.monotonic() + _STUCK_SECONDS
            while time.monotonic() < last:
                time.sleep(0.1)
        return decode_json(self, value)

    text.TextPreprocessor.decode_json = stuck  # type: ignore[method-assign]
    settings = Settings(
        model_repo=model_repo,
        port=0,
        host_threads=1,
        drain_seconds=1.0,
        only=("text/sentiment",),
        engine="onnxruntime",
    )

    def announce(address: str, _: Gateway) -> None:
        print(f"at {address}", flush=True)

    serve(settings, announce)


if __name__ == "__main__":
    main()
