"""Checkpoints in which one head is another version, made by changing the graph that was exported.

Nothing is trained: a version whose answers are the same, one whose labels are swapped, and one that
fails for some inputs are what a canary must tell apart.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from omnivec2.digests import file_digest
from omnivec2.parts import MASK
from omnivec2.passport import GRAPH_FILE, PASSPORT_FILE, WEIGHTS_FILE
from omnivec2.spec import model_name

Change = Callable[[onnx.GraphProto], None]

LOGITS = "logits"


def write_version(
    checkpoint: Path,
    directory: Path,
    route: str,
    change: Change,
    swapped: tuple[int, int] | None = None,
) -> Path:
    """Write a checkpoint in which the part of one head is changed.

    Args:
        checkpoint: The checkpoint with the head, exported in the shared layout.
        directory: The directory of the new checkpoint; its weights are linked, not copied.
        route: The head, as ``<modality>/<task>``.
        change: The change of the part's graph.
        swapped: The indices of two labels that change places; None leaves them.

    Returns:
        The directory.
    """

    def place(source: str, target: str) -> None:
        if Path(source).name == WEIGHTS_FILE:
            Path(target).hardlink_to(source)
        else:
            shutil.copyfile(source, target)

    shutil.copytree(checkpoint, directory, copy_function=place)
    name = model_name(route)
    part = directory / "parts" / f"head_{name}"
    # The weights stay where they are: the graph refers to them.
    model = onnx.load(part / GRAPH_FILE, load_external_data=False)
    change(model.graph)
    (part / GRAPH_FILE).write_bytes(model.SerializeToString())
    digest = file_digest(part / GRAPH_FILE)
    content = hashlib.sha256(digest.encode()).hexdigest()
    passport = json.loads((part / PASSPORT_FILE).read_text())
    passport["files"][GRAPH_FILE] = digest
    passport["content_digest"] = content
    (part / PASSPORT_FILE).write_text(json.dumps(passport))
    head = directory / "models" / name
    ensemble = json.loads((head / "ensemble.json").read_text())
    ensemble["parts"][f"head_{name}"] = content
    (head / "ensemble.json").write_text(json.dumps(ensemble))
    if swapped is not None:
        spec = json.loads((head / "head.json").read_text())
        labels = spec["labels"]
        first, second = swapped
        labels[first], labels[second] = labels[second], labels[first]
        (head / "head.json").write_text(json.dumps(spec))
    return directory


def same_answers(graph: onnx.GraphProto) -> None:
    """Change nothing but the graph: its logits are multiplied by 1."""
    before = _detach_logits(graph)
    graph.initializer.append(numpy_helper.from_array(np.array(1.0, np.float32), "one_times"))
    graph.node.append(helper.make_node("Mul", [before, "one_times"], [LOGITS]))


def fails_for_texts_of(tokens: int) -> Change:
    """Return a change by which texts of exactly so many tokens have no finite answer."""

    def change(graph: onnx.GraphProto) -> None:
        before = _detach_logits(graph)
        graph.initializer.extend(
            [
                numpy_helper.from_array(np.array([1], np.int64), "token_axis"),
                numpy_helper.from_array(np.array(tokens, np.float32), "bad_count"),
                numpy_helper.from_array(np.array(np.nan, np.float32), "no_number"),
                numpy_helper.from_array(np.array(0.0, np.float32), "no_change"),
            ]
        )
        graph.node.extend(
            [
                helper.make_node("Cast", [MASK], ["real_tokens"], to=TensorProto.FLOAT),
                helper.make_node("ReduceSum", ["real_tokens", "token_axis"], ["count"]),
                helper.make_node("Equal", ["count", "bad_count"], ["is_bad"]),
                helper.make_node("Where", ["is_bad", "no_number", "no_change"], ["damage"]),
                helper.make_node("Add", [before, "damage"], [LOGITS]),
            ]
        )

    return change


def _detach_logits(graph: onnx.GraphProto) -> str:
    """Rename the tensor that is the logits so far, and return its new name."""
    before = f"{LOGITS}_before"
    for node in graph.node:
        for index, output in enumerate(node.output):
            if output == LOGITS:
                node.output[index] = before
    return before
