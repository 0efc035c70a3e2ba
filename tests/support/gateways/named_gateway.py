"""The gateway with a resolver of the test: the addresses of every name are lines of a file.

As a process of its own, with the words of the command line::

    NAMED_GATEWAY_ADDRESSES=FILE \\
        python -m tests.support.gateways.named_gateway serve --triton triton.test:1
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from omnivec2_cli.main import app
from service.runtimes.triton import runtime

ADDRESSES = "NAMED_GATEWAY_ADDRESSES"


async def resolve(host: str, port: int) -> Sequence[str]:
    """The lines of the file; no address is a name that does not resolve."""
    addresses = Path(os.environ[ADDRESSES]).read_text().split()
    if not addresses:
        raise OSError(f"{host} is not known")
    return addresses


if __name__ == "__main__":
    runtime.TritonRuntime = partial(runtime.TritonRuntime, resolve=resolve)  # type: ignore[assignment,misc]
    app()
