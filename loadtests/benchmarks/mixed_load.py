"""Measure the batches of the trunk under a mixed load, in both layouts.

One client per task sends the next request as soon as it has an answer, so that no task can fill
a batch of its own: in the fused layout every model computes one sample at a time. In the shared
layout the trunk batches the samples of all tasks whose tokens fall into the same length bucket.
Triton's own statistics count samples and executions (differences, because warm-ups count)::

    python -m loadtests.benchmarks.mixed_load
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from rich.table import Table
from tritonclient.grpc import InferenceServerClient as Control
from tritonclient.grpc.aio import InferenceServerClient, InferInput
from tritonclient.utils import np_to_triton_dtype

from export.parity.random_samples import length_cases, random_inputs
from export.repository.assembly import assemble
from export.repository.layouts import Layout
from loadtests.support.measured_gateway import (
    CHECKPOINT,
    SendRequest,
    closed_loop,
    report_parser,
    write_report,
)
from loadtests.support.triton_server import running_triton
from omnivec2.checkpoint import read_checkpoint
from omnivec2.parts import TRUNK
from omnivec2.spec import HeadSpec
from omnivec2.terminal import make_console
from service.runtimes.embedded.runtime import EmbeddedRuntime
from service.settings import Settings

TASKS = (
    *("imu/activity", "tabular/income", "tabular/marketing", "hyperspectral/landcover"),
    *("infrared/objects", "image/classification", "xray/pneumonia", "depth/action"),
)


def main() -> int:
    """Measure, print a table, write a report; return 1 if the trunk's batch is too small."""
    options = _options()
    console = make_console()
    heads = [head for head in read_checkpoint(CHECKPOINT).heads if head.route in options.tasks]
    rows: list[dict[str, object]] = []
    for layout in Layout:
        with tempfile.TemporaryDirectory() as directory:
            repository = Path(directory)
            assemble(CHECKPOINT, repository, layout)
            for name, measure in (("Triton", _triton), ("embedded", _embedded)):
                console.print(f"{name}, {layout}: {options.seconds:g} s ...")
                rate, batches = asyncio.run(measure(repository, heads, options.seconds))
                rows.append({"runtime": name, "layout": layout.value, "rate": rate, **batches})
    table = Table(title=f"{len(heads)} tasks, one client each: samples per execution")
    for column in ("runtime", "layout", "answers/s", "trunk", "other models, largest"):
        table.add_column(column, justify="right")
    for row in rows:
        trunk = f"{row['trunk']:.2f}" if row["trunk"] else "-"
        table.add_row(
            str(row["runtime"]), str(row["layout"]), f"{row['rate']:.0f}", trunk,
            f"{row['others']:.2f}",
        )  # fmt: skip
    console.print(table)
    report = {"what": "samples per execution under a mixed load, one client per task"}
    path = write_report(
        options.reports, "mixed-load", report | {"tasks": list(options.tasks), "rows": rows}
    )
    console.print(f"wrote {path}")
    shared = next(r for r in rows if r["layout"] == "shared" and r["runtime"] == "Triton")
    return 0 if float(str(shared["trunk"])) >= options.at_least else 1


def _options() -> argparse.Namespace:
    parser = report_parser(__doc__)
    parser.add_argument("--tasks", nargs="+", default=TASKS, help="heads, one client each")
    parser.add_argument("--seconds", type=float, default=10.0, help="length of each measurement")
    parser.add_argument(
        "--at-least", type=float, default=1.5, help="least average batch of the trunk"
    )
    return parser.parse_args()


Batches = dict[str, float]


async def _triton(repository: Path, heads: list[HeadSpec], seconds: float) -> tuple[float, Batches]:
    names = [head.name for head in heads]
    load = [word for name in names for word in ("--load-model", name)]
    with (
        running_triton(repository, "--model-control-mode", "explicit", *load) as triton,
        _statistics(Control(triton.grpc)) as batches,
    ):
        client = InferenceServerClient(triton.grpc)
        seen = await closed_loop([_sender(client, head) for head in heads], seconds)
        await client.close()
    return seen.rate, _summary(batches)


def _sender(client: InferenceServerClient, head: HeadSpec) -> SendRequest:
    inputs = []
    for name, array in _batch(head).items():
        tensor = InferInput(name, list(array.shape), np_to_triton_dtype(array.dtype))
        tensor.set_data_from_numpy(array)
        inputs.append(tensor)

    async def send() -> None:
        await client.infer(head.name, inputs)

    return send


def _batch(head: HeadSpec) -> dict[str, np.ndarray]:
    return random_inputs(head, 1, length_cases(head)[-1], np.random.default_rng(0))


@contextmanager
def _statistics(client: Control) -> Iterator[dict[str, float]]:
    """Yield samples per execution by model, filled at the end of the block that is measured."""
    batches: dict[str, float] = {}
    before = _counts(client)
    yield batches
    for name, (samples, executions) in _counts(client).items():
        samples0, executions0 = before.get(name, (0, 0))
        if executions > executions0:
            batches[name] = (samples - samples0) / (executions - executions0)
    client.close()


def _counts(client: Control) -> dict[str, tuple[int, int]]:
    statistics = client.get_inference_statistics().model_stats
    return {entry.name: (entry.inference_count, entry.execution_count) for entry in statistics}


def _summary(batches: Mapping[str, float]) -> Batches:
    others = [value for name, value in batches.items() if name != TRUNK]
    return {"trunk": batches.get(TRUNK, 0.0), "others": max(others)}


async def _embedded(
    repository: Path, heads: list[HeadSpec], seconds: float
) -> tuple[float, Batches]:
    counted: dict[str, list[int]] = {}

    def on_batch(name: str, rows: int, _: float) -> None:
        counted.setdefault(name, []).append(rows)

    only = tuple(head.route for head in heads)
    runtime = EmbeddedRuntime(Settings(model_repo=repository, only=only), on_batch)
    await runtime.start()

    def sender(head: HeadSpec) -> SendRequest:
        model, batch = runtime.models()[head.name], _batch(head)

        async def send() -> None:
            await runtime.infer(model, batch)

        return send

    seen = await closed_loop([sender(head) for head in heads], seconds)
    await runtime.close()
    batches = {name: sum(rows) / len(rows) for name, rows in counted.items()}
    return seen.rate, _summary(batches)


if __name__ == "__main__":
    sys.exit(main())
