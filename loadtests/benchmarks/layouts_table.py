r"""One table of both layouts and all ways to reach the network: throughput, p50 and p99.

Rows: a bare ONNX Runtime session on prepared arrays, the embedded gateway, Triton with tensors
over gRPC, the same with inputs and outputs in system shared memory, and the gateway in front
of Triton. The gateways get what people send (a JPEG, a sentence), so their figures include
decoding, pre- and postprocessing and HTTP. All rows of a round are measured in turns, in one
run; the medians of the rounds count::

    python -m loadtests.benchmarks.layouts_table
    python -m loadtests.benchmarks.layouts_table --ways "Triton, tensors" "Triton, shared memory" \
        --rounds 15 --seconds 1 --name shared-memory
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import json
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from rich.progress import track
from rich.table import Table
from tritonclient.grpc.aio import InferenceServerClient, InferInput, InferRequestedOutput
from tritonclient.utils import np_to_triton_dtype, shared_memory

from export.repository.assembly import assemble
from export.repository.layouts import Layout
from loadtests.support.measured_gateway import (
    CHECKPOINT,
    CORES,
    ROOT,
    Gateway,
    HttpClient,
    Load,
    SendRequest,
    closed_loop,
    median,
    report_parser,
    write_report,
)
from loadtests.support.triton_server import running_triton
from omnivec2.checkpoint import read_checkpoint
from omnivec2.passport import GRAPH_FILE
from omnivec2.preprocess import collate, preprocessor_for
from omnivec2.spec import HeadSpec, model_name
from omnivec2.terminal import make_console

SENTENCE = "A film of rare beauty, and one that stays with you for days."
INPUTS: Mapping[str, tuple[bytes, str]] = {
    "image/classification": (
        (ROOT / "tests/data/image/blood_smear.jpg").read_bytes(),
        "image/jpeg",
    ),
    "text/sentiment": (json.dumps({"inputs": SENTENCE}).encode(), "application/json"),
}
CLIENTS = (1, 8)
WAYS = (
    *("bare session", "embedded gateway", "Triton, tensors", "Triton, shared memory"),
    "gateway before Triton",
)
_NAMES = itertools.count()

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Way:
    """A way to reach the network: ``clients(head, n)`` makes n callers for a block."""

    name: str
    layout: str
    clients: Callable[[HeadSpec, int], contextlib.AbstractContextManager[list[SendRequest]]]


def main() -> int:
    """Measure, print the table and write a report."""
    options = _options()
    console = make_console()
    heads = {h.route: h for h in read_checkpoint(CHECKPOINT).heads if h.route in INPUTS}
    seen: dict[tuple[str, int, str, str], list[Load]] = {}
    with ExitStack() as stack:
        ways = [way for way in _ways(stack, list(heads)) if way.name in options.ways]
        plan = list(itertools.product(range(options.rounds), heads, CLIENTS, ways))
        for _, route, clients, way in track(plan, "measuring", console=console):
            with way.clients(heads[route], clients) as callers:
                load = asyncio.run(_measure(callers, options.seconds))
            seen.setdefault((route, clients, way.name, way.layout), []).append(load)
    rows = [_row(*key, loads) for key, loads in seen.items()]
    for route in heads:
        console.print(_table(route, [row for row in rows if row["route"] == route]))
    report = {"what": "throughput and latency of every way to the network, both layouts"}
    content = report | {"seconds": options.seconds, "rounds": options.rounds, "rows": rows}
    if gains := shared_memory_gains(rows):
        content["shared_memory_gains"] = gains
        console.print(f"shared memory: {median(gains):.2f} times the answers/s of tensors (median)")
    console.print(f"wrote {write_report(options.reports, options.name, content)}")
    return 0


def _options() -> argparse.Namespace:
    parser = report_parser(__doc__)
    parser.add_argument("--seconds", type=float, default=2.0, help="length of each measurement")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=WAYS, metavar="WAY",
                        help=f"rows to measure: {', '.join(WAYS)}")  # fmt: skip
    parser.add_argument("--name", default="layouts", help="name of the report")
    return parser.parse_args()


async def _measure(callers: list[SendRequest], seconds: float) -> Load:
    await asyncio.gather(*(send() for send in callers))  # connections are made beforehand
    return await closed_loop(callers, seconds)


def _row(route: str, clients: int, way: str, layout: str, loads: list[Load]) -> dict[str, Any]:
    return {
        "route": route,
        "clients": clients,
        "way": way,
        "layout": layout,
        "rate": round(median([load.rate for load in loads]), 1),
        "p50_ms": round(median([load.percentile_ms(50) for load in loads]), 2),
        "p99_ms": round(median([load.percentile_ms(99) for load in loads]), 2),
    }


def shared_memory_gains(rows: list[dict[str, Any]]) -> list[float]:
    """Return the ratio of the rates with and without shared memory, per route, clients and layout.

    Args:
        rows: The rows of the table.
    """
    rates: dict[str, dict[tuple[Any, ...], float]] = {}
    for row in rows:
        case = row["route"], row["clients"], row["layout"]
        rates.setdefault(row["way"], {})[case] = row["rate"]
    without, shared = rates.get(WAYS[2], {}), rates.get(WAYS[3], {})
    return [round(shared[case] / without[case], 3) for case in shared if case in without]


def _table(route: str, rows: list[dict[str, Any]]) -> Table:
    table = Table(title=f"{route}: answers per second, milliseconds")
    for column in ("clients", "way", "layout", "answers/s", "p50", "p99"):
        table.add_column(column, justify="left" if column == "way" else "right")
    for row in rows:
        cells = (row[k] for k in ("clients", "way", "layout", "rate", "p50_ms", "p99_ms"))
        table.add_row(*map(str, cells))
    return table


def _ways(stack: ExitStack, routes: list[str]) -> list[Way]:
    """Start everything that is measured; it runs until the end."""
    ways = []
    for layout in Layout:
        repository = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        assemble(CHECKPOINT, repository, layout)
        names = [word for route in routes for word in ("--load-model", model_name(route))]
        triton = stack.enter_context(
            running_triton(repository, "--model-control-mode", "explicit", *names)
        )
        only = [word for route in routes for word in ("--only", route)]
        no_checkpoint = ("--checkpoint", str(repository / "none"))
        from_repository = ("--model-repo", str(repository), *no_checkpoint, *only)
        embedded = stack.enter_context(Gateway(*from_repository))
        before = stack.enter_context(Gateway("--triton", triton.grpc))
        if layout is Layout.FUSED:
            ways.append(Way(WAYS[0], layout, _bare(repository)))
        ways += [
            Way(WAYS[1], layout, _http(embedded.port)),
            Way(WAYS[2], layout, _tensors(triton.grpc, shared=False)),
            Way(WAYS[3], layout, _tensors(triton.grpc, shared=True)),
            Way(WAYS[4], layout, _http(before.port)),
        ]
    return ways


def _sample(head: HeadSpec) -> dict[str, Array]:
    body, content_type = INPUTS[head.route]
    preprocessor = preprocessor_for(head)
    is_text = content_type == "application/json"
    native = preprocessor.decode_json(SENTENCE) if is_text else preprocessor.decode(body)
    return dict(collate([preprocessor.prepare(native).samples[0]]))


def _bare(repository: Path) -> Callable[..., contextlib.AbstractContextManager[list[SendRequest]]]:
    """Make callers of sessions: one session on all cores, or one per core on one core each."""

    @contextmanager
    def clients(head: HeadSpec, count: int) -> Iterator[list[SendRequest]]:
        options = ort.SessionOptions()
        options.intra_op_num_threads = CORES if count == 1 else 1
        graph = repository / head.name / "1" / GRAPH_FILE
        sessions = [ort.InferenceSession(graph, options) for _ in range(min(count, CORES))]
        sample = _sample(head)

        def caller(session: ort.InferenceSession) -> SendRequest:
            async def send() -> None:
                await asyncio.to_thread(session.run, None, sample)

            return send

        yield [caller(session) for session in sessions]

    return clients


def _http(port: int) -> Callable[..., contextlib.AbstractContextManager[list[SendRequest]]]:
    @contextmanager
    def clients(head: HeadSpec, count: int) -> Iterator[list[SendRequest]]:
        body, content_type = INPUTS[head.route]
        made = [
            HttpClient(port, f"/predict/{head.route}", body, content_type) for _ in range(count)
        ]
        yield [client.send for client in made]

    return clients


def _tensors(
    address: str, *, shared: bool
) -> Callable[..., contextlib.AbstractContextManager[list[SendRequest]]]:
    """Make callers that send tensors: in the request, or in regions that Triton maps."""

    @contextmanager
    def clients(head: HeadSpec, count: int) -> Iterator[list[SendRequest]]:
        with ExitStack() as stack:
            callers = [_Caller(address, head, shared) for _ in range(count)]
            for caller in callers:
                stack.callback(caller.free)
            yield [caller.send for caller in callers]

    return clients


class _Caller:
    """One caller of Triton with one sample, and its regions if it shares memory."""

    def __init__(self, address: str, head: HeadSpec, shared: bool) -> None:
        self._address, self._head, self._shared = address, head, shared
        self._sample = _sample(head)
        self._client: InferenceServerClient | None = None
        self._regions: list[Any] = []
        self._outputs: list[tuple[str, tuple[int, ...], Any]] = []
        self._request: dict[str, Any] = {}

    async def send(self) -> None:
        """Write the sample, infer, read the outputs."""
        if self._client is None:
            self._client = InferenceServerClient(self._address)
            if self._shared:
                await self._share(self._client)
        if not self._shared:
            inputs = []
            for name, array in self._sample.items():
                tensor = InferInput(name, list(array.shape), np_to_triton_dtype(array.dtype))
                tensor.set_data_from_numpy(array)
                inputs.append(tensor)
            answer = await self._client.infer(self._head.name, inputs)
            outputs = [answer.as_numpy(tensor.name) for tensor in self._head.outputs]
        else:
            region = self._regions[0]
            shared_memory.set_shared_memory_region(region, list(self._sample.values()))
            await self._client.infer(self._head.name, **self._request)
            outputs = [
                shared_memory.get_contents_as_numpy(region, np.float32, shape)
                for _, shape, region in self._outputs
            ]
        assert all(np.isfinite(output).all() for output in outputs)

    async def _share(self, client: InferenceServerClient) -> None:
        """Make a region for all inputs and one for each output."""
        inputs, offset = [], 0
        size = sum(array.nbytes for array in self._sample.values())
        name = await self._region(client, size)
        for key, array in self._sample.items():
            tensor = InferInput(key, list(array.shape), np_to_triton_dtype(array.dtype))
            tensor.set_shared_memory(name, array.nbytes, offset)
            offset += array.nbytes
            inputs.append(tensor)
        outputs = []
        for output in self._head.outputs:
            nbytes = 4 * int(np.prod(output.shape))
            name = await self._region(client, nbytes)
            wanted = InferRequestedOutput(output.name)
            wanted.set_shared_memory(name, nbytes)
            outputs.append(wanted)
            self._outputs.append((output.name, (1, *output.shape), self._regions[-1]))
        self._request = {"inputs": inputs, "outputs": outputs}

    async def _region(self, client: InferenceServerClient, size: int) -> str:
        name = f"omnivec2_{next(_NAMES)}"
        self._regions.append(shared_memory.create_shared_memory_region(name, f"/{name}", size))
        await client.register_system_shared_memory(name, f"/{name}", size)
        return name

    def free(self) -> None:
        """Unlink the regions; Triton keeps its mappings until it exits."""
        for region in self._regions:
            shared_memory.destroy_shared_memory_region(region)


if __name__ == "__main__":
    sys.exit(main())
