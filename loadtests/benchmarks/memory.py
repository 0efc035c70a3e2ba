"""Measure the memory of the models against the bytes of their weights, in both layouts.

Every figure comes from a process of its own: everything is imported, memory is read, the
models are loaded, memory is read again. The difference is compared with the float32 bytes of
trunk, tokenizers and heads, each tensor counted once. Resident memory counts, which is the
strictest measure: it includes the pages of the engine's library. It is measured at the second
start of a machine: the first one checks the engine on real inputs, and the rows of their words
stay mapped from the weights file until the kernel needs the memory. With ``--paper``, the same
for the paper's sizes with 20 heads on random weights; its fused layout is computed from the
sizes, not measured::

    python -m loadtests.benchmarks.memory --paper
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import onnx
from rich.table import Table

from export.repository.assembly import assemble
from export.repository.layouts import Layout
from loadtests.support.measured_gateway import CHECKPOINT, ROOT, report_parser, write_report
from loadtests.support.process_memory import process_memory
from omnivec2.checkpoint import SCALE_SUFFIX
from omnivec2.passport import GRAPH_FILE
from omnivec2.terminal import make_console
from service.runtimes.embedded.repository_reader import read_repository

MIB = 2**20
USED_ROWS = 8
"""Rows of the batch that every head computes, twice, for the figure of memory in use."""

Row = dict[str, Any]


def main() -> int:
    """Measure, print a table, write a report; return 1 if the ratio is too high."""
    options = _options()
    if options.measure:
        print(json.dumps(asyncio.run(measure(options.measure, use=not options.quick))))
        return 0
    console = make_console()
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as directory:
        for layout in (Layout.SHARED,) if options.quick else Layout:
            console.print(f"reference network, {layout} ...")
            repository = Path(directory) / layout
            assemble(CHECKPOINT, repository, layout)
            rows.append({"network": "reference", **_row(repository, layout, options.quick)})
    if options.paper:
        from loadtests.benchmarks.paper_sizes import paper_repository

        console.print("paper sizes, shared ... (made on first use, in minutes)")
        repository = paper_repository(console)
        rows.append({"network": "paper", **_row(repository, Layout.SHARED, options.quick)})
        rows.append({"network": "paper", **computed_fused(repository)})
    console.print(_table(rows))
    content = {
        "what": "memory of the embedded runtime against the bytes of the weights",
        "used_rows": USED_ROWS,
        "rows": rows,
    }
    console.print(f"wrote {write_report(options.reports, 'memory', content)}")
    shared = [row["ratio"] for row in rows if row["layout"] == Layout.SHARED]
    return 0 if max(shared) <= options.at_most else 1


def _options() -> argparse.Namespace:
    parser = report_parser(__doc__)
    parser.add_argument("--at-most", type=float, default=1.6, help="ratio that passes (shared)")
    parser.add_argument("--quick", action="store_true", help="shared layout only, just loaded")
    parser.add_argument("--paper", action="store_true", help="the paper's sizes too (minutes)")
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


def _row(repository: Path, layout: Layout, quick: bool) -> Row:
    """Measure one repository in a fresh process, after one that checked the engine."""
    _measured(repository, quick=True)
    figures = _measured(repository, quick=quick)
    once = sum(weight_sizes(repository).values())
    return {
        "layout": layout.value,
        "how": "measured",
        "weights_bytes": once,
        **figures,
        "ratio": round(figures["resident_bytes"] / once, 3),
    }


def _measured(repository: Path, *, quick: bool) -> Row:
    """Return what a process of its own measures."""
    command = [sys.executable, "-m", "loadtests.benchmarks.memory", "--measure", str(repository)]
    done = subprocess.run(
        [*command, *(["--quick"] if quick else [])],
        cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True,
    )  # fmt: skip
    figures: Row = json.loads(done.stdout.splitlines()[-1])
    return figures


async def measure(repository: Path, *, use: bool) -> Row:
    """Load a repository in this process and return the bytes that it adds.

    Args:
        repository: The model repository.
        use: Whether memory is measured after batches as well.
    """
    import numpy as np

    import service.app  # noqa: F401  what a gateway has imported before it loads
    from export.parity.random_samples import length_cases, random_inputs
    from service.runtimes.embedded.engines.find_engine import find_engine
    from service.runtimes.embedded.runtime import EmbeddedRuntime
    from service.settings import Settings

    rng = np.random.default_rng(0)
    settings = Settings(model_repo=repository, engine="onnxruntime", engine_precision="fp32")
    find_engine(settings.engine)  # its library is of the empty process, too
    runtime = EmbeddedRuntime(settings)
    before = process_memory()
    await runtime.start()
    loaded = process_memory()
    models = list(runtime.models().values())
    row: Row = {
        "heads": len(models),
        "empty_resident_bytes": before["Rss"],
        "resident_bytes": loaded["Rss"] - before["Rss"],
        "proportional_bytes": loaded["Pss"] - before["Pss"],
    }
    for model in [model for model in models for _ in range(2)] if use else ():
        rows = min(USED_ROWS, model.spec.max_batch_size)
        inputs = random_inputs(model.spec, rows, length_cases(model.spec)[-1], rng)
        await runtime.infer(model, inputs)
    if use:
        row["used_resident_bytes"] = process_memory()["Rss"] - before["Rss"]
    await runtime.close()
    return row


def weight_sizes(repository: Path) -> dict[str, int]:
    """Return the float32 bytes of every tensor of the checkpoint that a graph reads, by name."""
    return {
        name: size
        for graph in repository.glob(f"*/*/{GRAPH_FILE}")
        for name, size in _tensor_sizes(graph).items()
    }


def _tensor_sizes(graph: Path) -> dict[str, int]:
    """Return the same for one graph: tensors of the weights file, without scales of int8 rows.

    Tables that are looked up as int8 rows count a byte per value.
    """
    content = onnx.load(graph, load_external_data=False).graph
    tables = {node.input[0] for node in content.node if node.op_type == "Gather"}
    return {
        tensor.name: math.prod(tensor.dims)
        * (1 if tensor.name in tables and tensor.data_type == onnx.TensorProto.INT8 else 4)
        for tensor in content.initializer
        if tensor.external_data and not tensor.name.endswith(SCALE_SUFFIX)
    }


def computed_fused(repository: Path) -> Row:
    """Compute what the heads of a shared repository would take with a copy of the parts each."""
    models = read_repository(repository, ()).models.values()
    whole = [
        sum(sum(_tensor_sizes(p.directory / GRAPH_FILE).values()) for p in m.graphs) for m in models
    ]
    return {
        "layout": Layout.FUSED.value,
        "how": "computed: its weights alone",
        "weights_bytes": sum(weight_sizes(repository).values()),
        "heads": len(whole),
        "resident_bytes": sum(whole),
        "ratio": round(sum(whole) / sum(weight_sizes(repository).values()), 3),
    }


def _table(rows: list[Row]) -> Table:
    table = Table(title="Memory of the models, MiB")
    columns = {
        "weights_bytes": "weights, once",
        "resident_bytes": "resident",
        "proportional_bytes": "proportional",
        "used_resident_bytes": f"resident, after batches of {USED_ROWS}",
    }
    for column in ("network", "layout", "heads", *columns.values(), "resident / weights", "how"):
        table.add_column(column, justify="right")
    for row in rows:
        sizes = [f"{row[key] / MIB:.0f}" if key in row else "-" for key in columns]
        names = (row["network"], row["layout"], str(row["heads"]))
        table.add_row(*names, *sizes, f"{row['ratio']:.2f}", row["how"])
    return table


if __name__ == "__main__":
    sys.exit(main())
