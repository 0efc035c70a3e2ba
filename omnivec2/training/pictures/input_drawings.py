"""How an input of each modality is shown: drawn, or as the cells of a table's row.

What is shown is the prepared sample, which is what the network sees.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from matplotlib.axes import Axes

from omnivec2.preprocess import Array, Sample
from omnivec2.preprocess.tabular import FIRST_ID, MISSING_ID, TabularParameters
from omnivec2.spec import Modality
from omnivec2.training.data.base import TaskData
from omnivec2.wordpiece import text_of


def _frames(frames: Array) -> Array:
    """Four frames of a clip, two above two: (T, H, W, ...) -> (2 * H, 2 * W, ...)."""
    first, second, third, last = (
        frames[index] for index in np.linspace(0, len(frames) - 1, 4).round().astype(int)
    )
    rows = (np.concatenate(pair, axis=1) for pair in ((first, second), (third, last)))
    return np.concatenate(list(rows))


def _image(axes: Axes, sample: Sample) -> None:
    pixels = sample["pixels"]
    if pixels.shape[2] == 1:
        axes.imshow(pixels[..., 0], cmap="gray", vmin=0, vmax=255)
    else:
        axes.imshow(pixels)


def _video(axes: Axes, sample: Sample) -> None:
    axes.imshow(_frames(sample["frames"]))


def _depth(axes: Axes, sample: Sample) -> None:
    """Near is light; what was not measured (0) stays white."""
    depth = _frames(sample["depth"]).astype(np.float32)
    axes.imshow(np.ma.masked_equal(depth, 0), cmap="magma_r")


def _audio(axes: Axes, sample: Sample) -> None:
    """The spectrogram: time to the right, frequency upwards."""
    axes.imshow(sample["fbank"].T, origin="lower", aspect="auto", cmap="magma")


def _signal(axes: Axes, sample: Sample) -> None:
    axes.plot(sample["signal"], linewidth=0.6)


def _series(axes: Axes, sample: Sample) -> None:
    axes.plot(sample["values"], linewidth=0.8)


def _spectrum(axes: Axes, sample: Sample) -> None:
    """The pixel in the middle of the window, band by band."""
    window = sample["window"]
    middle = len(window) // 2
    axes.plot(window[middle, middle], linewidth=0.8)


def _points(axes: Axes, sample: Sample) -> None:
    """From the side; what is further away is lighter."""
    points = (sample["groups"] + sample["centres"][:, None]).reshape(-1, 3)
    points = points[np.argsort(-points[:, 1])]
    axes.scatter(points[:, 0], points[:, 2], c=points[:, 1], s=2, cmap="viridis", linewidths=0)
    axes.set_aspect("equal")


def _graph(axes: Axes, sample: Sample) -> None:
    """Nodes where two eigenvectors of the Laplacian put them, coloured by their first field."""
    nodes = sample["node_mask"] > 0
    places = sample["node_ids"][:, 1:3]
    for start, end in sample["edges"][sample["edge_mask"] > 0]:
        axes.plot(
            places[[start, end], 0],
            places[[start, end], 1],
            color="#999999",
            linewidth=0.8,
            zorder=1,
        )
    x, y = places[nodes].T
    axes.scatter(x, y, c=sample["nodes"][nodes, 0], s=14, cmap="tab20", zorder=2)


DRAWN: dict[Modality, Callable[[Axes, Sample], None]] = {
    Modality.IMAGE: _image,
    Modality.XRAY: _image,
    Modality.INFRARED: _image,
    Modality.VIDEO: _video,
    Modality.DEPTH: _depth,
    Modality.AUDIO: _audio,
    Modality.IMU: _signal,
    Modality.TIMESERIES: _series,
    Modality.HYPERSPECTRAL: _spectrum,
    Modality.POINTCLOUD: _points,
    Modality.GRAPH: _graph,
}
"""Modalities that are drawn into a panel."""


def _texts(sample: Sample, task: TaskData) -> dict[str, str]:
    """The words that are left of a text, or of the two of a pair."""
    del task
    ids, segments = sample["input_ids"], sample["token_type_ids"]
    kept = sample["attention_mask"] > 0
    parts = [ids[kept & (segments == segment)] for segment in (0, 1)]
    names = ("text", "second text")
    return {name: text_of(part) for name, part in zip(names, parts, strict=True) if len(part)}


def _columns(sample: Sample, task: TaskData) -> dict[str, str]:
    """The row as it was in the table; empty where a value was missing."""
    schema = TabularParameters.model_validate(task.preprocess.parameters)
    cells = {
        column.name: "" if missing else f"{number:g}"
        for column, number, missing in zip(
            schema.numbers, sample["numbers"], sample["missing"], strict=True
        )
    }
    for column, index in zip(schema.categories, sample["categories"], strict=True):
        known = column.categories[index - FIRST_ID] if index >= FIRST_ID else "(unknown)"
        cells[column.name] = "" if index == MISSING_ID else known
    return {column.name: cells[column.name] for column in schema.columns}


WRITTEN: dict[Modality, Callable[[Sample, TaskData], dict[str, str]]] = {
    Modality.TEXT: _texts,
    Modality.TABULAR: _columns,
}
"""Modalities that are shown as a table: column -> cell."""
