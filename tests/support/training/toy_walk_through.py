"""Take the toy modality from training to an answer, and print what was seen on the way as JSON.

Run in the root of a copy of the sources that holds the toy modality's files; the first argument
is a folder to write to.
"""

from __future__ import annotations

import faulthandler
import io
import json
import sys
import time
from pathlib import Path

import numpy as np
from rich.console import Console
from starlette.testclient import TestClient

from export.export_run import export_checkpoint
from export.repository.assembly import assemble
from export.repository.layouts import Layout
from omnivec2.checkpoint import read_checkpoint
from omnivec2.training.recipe import Recipe
from omnivec2.training.training_run import Paths, train
from service.app import create_app
from service.settings import Settings

RECIPE = Recipe.model_validate(
    {
        "preset": "tiny",
        "warmup_steps": 2,
        "bf16": False,
        "warm_start": False,
        "average_decay": 0.8,
        "learning_rates": {"pretrained": 3e-3, "trunk": 3e-3, "fresh": 3e-3},
        "stages": [{"kind": "masked", "steps": 5}, {"kind": "supervised", "steps": 60}],
        "tasks": {"toy/trend": {"weight": 1, "batch_size": 16}},
    }
)
READY_SECONDS = 60


def write_data(folder: Path) -> None:
    """Write series that rise or fall by up to 2 hPa per reading, with noise."""
    rng = np.random.default_rng(0)
    rises = np.arange(80) % 2 == 0
    slope = rng.uniform(1, 2, (80, 1)) * np.where(rises, 1, -1)[:, None]
    pressure = 1013 + slope * np.arange(16) + rng.normal(0, 1, (80, 16))
    folder.mkdir()
    np.savez(folder / "barometer.npz", pressure=pressure, rises=rises)


def main(folder: Path) -> dict[str, object]:
    """Train, export, serve and ask."""
    write_data(folder / "data")
    checkpoint = train(RECIPE, Paths(folder / "data", folder / "run", folder / "checkpoint"))
    rows = [json.loads(line) for line in (folder / "run" / "log.jsonl").read_text().splitlines()]
    results = export_checkpoint(
        checkpoint, layouts=(Layout.FUSED,), console=Console(file=io.StringIO())
    )
    assemble(checkpoint, folder / "repository", Layout.FUSED)
    app = create_app(Settings(model_repo=folder / "repository"))
    sample = Path("tests/data/toy/rising.txt").read_bytes()
    with TestClient(app) as client:
        deadline = time.monotonic() + READY_SECONDS
        while client.get("/readyz").status_code != 200 and time.monotonic() < deadline:
            time.sleep(0.1)
        text = {"Content-Type": "text/plain"}
        return {
            "stages": sorted({row["stage"] for row in rows}),
            "heads": [head.route for head in read_checkpoint(checkpoint).heads],
            "exported": {result.name: result.ok for result in results},
            "models": client.get("/models").json()["models"],
            "page": client.get("/").status_code,
            "documented": sorted(client.get("/openapi.json").json()["paths"]),
            "answer": client.post("/predict/toy/trend", content=sample, headers=text).json(),
            "answers": client.post(
                "/predict/toy/trend",
                json={"inputs": [list(range(20)), list(range(20, 0, -1))]},
            ).json(),
            "embedding": client.post("/predict/toy/embedding", content=sample, headers=text).json(),
            "refused": client.post("/predict/toy/trend", content=b"a\nb", headers=text).json(),
        }


if __name__ == "__main__":
    # A walk that does not end says where it stands before its test gives up.
    faulthandler.dump_traceback_later(180)
    print(json.dumps(main(Path(sys.argv[1]))))
