"""Checkpoints as the exporter leaves them, in both layouts, around tiny graphs that really run."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import onnx.parser

from export.exported_checkpoint import PART_FILE, ensemble_path, part_directory
from omnivec2.checkpoint import Checkpoint, write_checkpoint
from omnivec2.digests import file_digest
from omnivec2.generation import COPIED, GENERATED, MEMORY, STATE
from omnivec2.parts import PartSpec
from omnivec2.passport import GRAPH_FILE, PASSPORT_FILE, WEIGHTS_FILE
from omnivec2.spec import HeadSpec
from tests.support.checkpoints.pretend_exports import make_passport
from tests.support.model_repositories.tiny_graphs import (
    head_part,
    tiny_graph,
    tokenizer_part,
    trunk_part,
)

_WRITER_TEXT = f"""
<ir_version: 10, opset_import: ["" : 18]>
writer (int32[batch, n] input_ids, int32[batch, n] token_type_ids, int32[batch, n] attention_mask)
   => (float[batch, n, 4] {MEMORY})
{{
    both = Add(input_ids, token_type_ids)
    real = Mul(both, attention_mask)
    number = Cast<to = 1>(real)
    last = Constant<value = int64[1] {{2}}>()
    column = Unsqueeze(number, last)
    shape = Constant<value = int64[3] {{1, 1, 4}}>()
    {MEMORY} = Expand(column, shape)
}}
"""
_DECODER_TEXT = f"""
<ir_version: 10, opset_import: ["" : 18]>
decoder (int32[batch, beams] previous_ids, int32[batch, 1] step,
         float[batch, beams, places, 4] past,
         float[batch, n, 4] {MEMORY}, int32[batch, n] attention_mask)
   => (float[batch, beams, words] {GENERATED}, float[batch, beams, n] {COPIED},
       float[batch, beams, 4] {STATE})
{{
    one = Constant<value = int64[1] {{1}}>()
    two = Constant<value = int64[1] {{2}}>()
    later = Add(previous_ids, step)
    number = Cast<to = 1>(later)
    column = Unsqueeze(number, two)
    shape = Constant<value = int64[3] {{1, 1, WORDS}}>()
    {GENERATED} = Expand(column, shape)
    mask = Cast<to = 1>(attention_mask)
    row = Unsqueeze(mask, one)
    {COPIED} = Mul(column, row)
    seen = ReduceSum<keepdims = 0>(past, two)
    source = ReduceMean<keepdims = 1>({MEMORY}, one)
    {STATE} = Add(seen, source)
}}
"""


def write_tiny_export(
    directory: Path,
    heads: Sequence[HeadSpec],
    *,
    scale: float = 1.0,
    trunk_scale: float = 1.0,
    whole_scale: float | None = None,
    f_mean: bool = False,
) -> Path:
    """A checkpoint whose heads are exported in both layouts.

    Args:
        directory: The directory of the checkpoint.
        heads: Its heads; one that writes text is exported in one piece with its decoder.
        scale: The factor of every head's outputs; it makes weights and graphs differ.
        trunk_scale: The factor of the trunk's features.
        whole_scale: The factor of heads in one piece, where it is not that of the parts.
        f_mean: Whether the trunk hands out a summary of its features.
    """
    tensors = {"w": np.full((4, 4), scale, np.float32)}
    checkpoint = write_checkpoint(directory, config={}, tensors=tensors, heads=heads)
    for head in checkpoint.heads:
        whole = checkpoint.model_directory(head)
        if head.generation is not None:
            decoder = _write_part(checkpoint, *decoder_part(head))
            _write_graph(checkpoint, whole, head.name, writer_graph(), decoder=decoder)
            continue
        graph = tiny_graph(head, scale if whole_scale is None else whole_scale)
        _write_graph(checkpoint, whole, head.name, graph)
        parts = [
            tokenizer_part(f"tokenizer_{head.modality}", head),
            trunk_part(trunk_scale, f_mean=f_mean),
            head_part(head, scale),
        ]
        contents = {spec.name: _write_part(checkpoint, spec, graph) for spec, graph in parts}
        passport = make_passport(head.name, checkpoint.digest, files={}, parts=contents)
        ensemble_path(checkpoint, head).write_text(passport.model_dump_json())
    return directory


def writer_graph() -> onnx.ModelProto:
    """A head that writes text: a memory that repeats the ids of the source."""
    return onnx.parser.parse_model(_WRITER_TEXT)


def decoder_part(head: HeadSpec) -> tuple[PartSpec, onnx.ModelProto]:
    """The decoder of a head that writes text; every one of its inputs counts."""
    generation = head.generation
    assert generation is not None
    words = next(t.shape[-1] for t in generation.outputs if t.name == GENERATED)
    graph = onnx.parser.parse_model(_DECODER_TEXT.replace("WORDS", str(words)))
    spec = PartSpec(
        name=generation.decoder,
        kind="decoder",
        inputs=generation.inputs,
        outputs=generation.outputs,
        max_batch_size=head.max_batch_size,
    )
    return spec, graph


def _write_part(checkpoint: Checkpoint, spec: PartSpec, graph: onnx.ModelProto) -> str:
    """Write a part; return its content digest, which graphs of other checkpoints may have too."""
    directory = part_directory(checkpoint, spec.name)
    directory.mkdir(parents=True, exist_ok=True)
    (directory / PART_FILE).write_text(spec.model_dump_json())
    content = hashlib.sha256(graph.SerializeToString(deterministic=True)).hexdigest()
    _write_graph(checkpoint, directory, spec.name, graph, content_digest=content)
    return content


def _write_graph(
    checkpoint: Checkpoint, directory: Path, name: str, graph: onnx.ModelProto, **fields: str
) -> None:
    onnx.save(graph, directory / GRAPH_FILE)
    files = {
        GRAPH_FILE: file_digest(directory / GRAPH_FILE),
        WEIGHTS_FILE: checkpoint.digest,
    }
    passport = make_passport(name, checkpoint.digest, files=files, **fields)
    (directory / PASSPORT_FILE).write_text(passport.model_dump_json())
