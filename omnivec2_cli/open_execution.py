"""What answers a batch: a network in this process, a running service, or a Ray cluster."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from omnivec2.errors import InputError
from omnivec2_cli.errors import needs_extra
from omnivec2_cli.predicting.open_predictor import open_predictor

if TYPE_CHECKING:
    from omnivec2_api.batch.executions import ClusterOptions, Execution


@dataclass(frozen=True)
class ExecutionPlace:
    """Where the inputs of a batch are answered.

    Attributes:
        cluster: The Ray cluster; None for none.
        server: The address of a service; None for none.
        api_key: The API key of the service.
        concurrency: The number of inputs under way at the same time; None for the default.
        checkpoint: The directory of the exported checkpoint.
        model_repo: The directory of its model repository.
    """

    cluster: ClusterOptions | None
    server: str | None
    api_key: str | None
    concurrency: int | None
    checkpoint: Path
    model_repo: Path


@contextmanager
def open_execution(place: ExecutionPlace, routes: Sequence[str]) -> Iterator[Execution]:
    """Open what answers a batch until the block ends.

    Raises:
        InputError: The options contradict each other, or there is no such head.
        OmniVecError: The network, the service or the cluster is not to be had.
    """
    from omnivec2_api.batch.background_client import MOST_CONCURRENCY, BackgroundClient
    from omnivec2_api.batch.batch_run import find_heads
    from omnivec2_api.batch.executions import LocalExecution

    if place.cluster is not None and place.server is not None:
        raise InputError("--ray and --server exclude each other: one of them answers")
    if place.server is not None:
        most = place.concurrency or MOST_CONCURRENCY
        with BackgroundClient(place.server, api_key=place.api_key, concurrency=most) as client:
            yield LocalExecution(client, find_heads(client, routes), most)
        return
    with open_predictor(None, None, routes, place.checkpoint, place.model_repo) as model:
        heads = find_heads(model, routes)
        if place.cluster is None:
            yield LocalExecution(model, heads, place.concurrency)
            return
    with needs_extra("ray"):
        from omnivec2_api.batch.ray_execution import RayExecution, connected
    with connected(place.cluster.address):
        yield RayExecution(place.model_repo, heads, place.cluster, _report_worker)


def _report_worker(count: int) -> None:
    typer.echo(f"workers that answer: {count}", err=True)
