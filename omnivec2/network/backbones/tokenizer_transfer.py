"""The embeddings of a backbone in tokenizers: words of a BERT, patches of a ViT."""

from __future__ import annotations

from itertools import zip_longest

import torch
from torch import Tensor

from omnivec2.errors import CheckpointError
from omnivec2.network.backbones.transfer import Transfer
from omnivec2.network.layers import TablePositions, resize_positions
from omnivec2.network.tokenizers.stem import PatchCells
from omnivec2.network.tokenizers.text import TextTokenizer
from omnivec2.network.tokenizers.visual import VisualTokenizer
from omnivec2.wordpiece import SIZE
from omnivec2.wordpiece import tokenizer as wordpiece


def transfer_words(transfer: Transfer, tokenizer: TextTokenizer, prefix: str) -> None:
    """Fill a text tokenizer: words, positions, segments and their LayerNorm.

    Args:
        transfer: The transfer of the backbone.
        tokenizer: The tokenizer.
        prefix: The name of the tokenizer in the network.

    Raises:
        CheckpointError: The backbone has no such embeddings, or those of another vocabulary.
    """
    backbone, names = transfer.backbone, transfer.backbone.layout.text
    if not names:
        raise CheckpointError(
            f"{backbone.source}: {backbone.layout.name} has no embeddings of WordPiece words; "
            "texts here are read as BERT's uncased WordPiece"
        )
    _require_width(transfer, prefix, tokenizer.words.embedding_dim)
    vocabulary = backbone[names["words.weight"]].shape[0]
    if vocabulary != tokenizer.words.num_embeddings:
        raise CheckpointError(
            f"{backbone.source}: {vocabulary} words, not the {tokenizer.words.num_embeddings} of "
            "the uncased vocabulary of BERT, by which texts are read here"
        )
    _require_same_words(transfer, vocabulary)
    for ours, theirs in names.items():
        tensor, note = backbone[theirs], ""
        own = tokenizer.get_parameter(ours).detach()
        if ours == "positions.weight" and len(tensor) != len(own):
            rows = min(len(own), len(tensor))
            note = f"the first {rows} of {len(tensor)} positions"
            if rows < len(own):
                note = f"{rows} positions; the other {len(own) - rows} start fresh"
            tensor = torch.cat([tensor[:rows], own[rows:]])
        transfer.fill(tokenizer, ours, tensor, (theirs,), prefix=prefix, note=note)


def _require_same_words(transfer: Transfer, vocabulary: int) -> None:
    """Raise if a ``vocab.txt`` beside the weights has other words, or another order."""
    path = transfer.backbone.source / "vocab.txt"
    if vocabulary != SIZE or not path.is_file():
        return
    own = (wordpiece().id_to_token(number) for number in range(SIZE))
    theirs = path.read_text("utf-8").splitlines()
    for line, (word, expected) in enumerate(zip_longest(theirs, own), start=1):
        if word != expected:
            raise CheckpointError(
                f"{path}: line {line} is {word!r}, not {expected!r}: texts here are read by the "
                "vocabulary of bert-base-uncased"
            )


def transfer_patches(transfer: Transfer, tokenizer: VisualTokenizer, prefix: str) -> None:
    """Fill a tokenizer of plain patches: their linear map, positions, CLS and colour scale.

    Positions are interpolated to the table of the tokenizer, if that has another grid.

    Args:
        transfer: The transfer of the backbone.
        tokenizer: The tokenizer, with a stem of plain patches.
        prefix: The name of the tokenizer in the network.

    Raises:
        CheckpointError: The backbone has no patches, or of another size.
    """
    backbone, names = transfer.backbone, transfer.backbone.layout.patches
    if not names or names["project.weight"] not in backbone:
        raise CheckpointError(f"{backbone.source}: {backbone.layout.name} has no patches")
    _require_width(transfer, prefix, tokenizer.project.out_features)
    stem = tokenizer.stem
    assert isinstance(stem, PatchCells)
    if backbone.patch != stem.patch or tokenizer.tubelet[1:] != (1, 1):
        raise CheckpointError(
            f"{backbone.source}: patches of {backbone.patch} pixels, {prefix} has {stem.patch}; "
            f"give {{stem: patches, patch: {backbone.patch}}} and a tubelet of one cell"
        )
    kernel, bias = names["project.weight"], names["project.bias"]
    weight, note = _fit_kernel(backbone[kernel], tokenizer)
    transfer.fill(tokenizer, "project.weight", weight, (kernel,), prefix=prefix, note=note)
    if bias in backbone:
        transfer.fill(tokenizer, "project.bias", backbone[bias], (bias,), prefix=prefix)
    _transfer_positions(transfer, tokenizer, prefix)
    scale = backbone.colour_scale()
    buffers = dict(tokenizer.named_buffers())
    if scale is not None and {"mean", "std"} <= buffers.keys():
        for name, values in zip(("mean", "std"), scale, strict=True):
            buffers[name].copy_(torch.tensor(values).reshape_as(buffers[name]))
    filled = {row.ours for row in transfer.report.rows}
    for name, _ in tokenizer.named_parameters(prefix=prefix):
        if name not in filled:
            transfer.report.fresh(name, "not in the file")


def _fit_kernel(kernel_DCpq: Tensor, tokenizer: VisualTokenizer) -> tuple[Tensor, str]:
    """Return the linear map of a tubelet of patches, and what was changed for it."""
    frames, notes = tokenizer.tubelet[0], []
    if kernel_DCpq.shape[1] != tokenizer.channels:
        # One channel equals a picture with three equal ones: the kernels add up.
        kernel_DCpq = kernel_DCpq.sum(dim=1, keepdim=True)
        notes.append("colours added up")
    flat = kernel_DCpq.flatten(1)
    if frames > 1:
        flat = flat.repeat(1, frames) / frames
        notes.append(f"averaged over {frames} frames")
    return flat, "; ".join(notes)


def _transfer_positions(transfer: Transfer, tokenizer: VisualTokenizer, prefix: str) -> None:
    backbone, names = transfer.backbone, transfer.backbone.layout.patches
    positions, notes = tokenizer.positions, []
    assert isinstance(positions, TablePositions)
    old, stored = backbone.position_grid(), names["positions"]
    table = backbone[stored].reshape(-1, backbone.width)
    leading = len(table) - old[0] * old[1]
    if old != positions.sizes:
        (rows, columns), (new_rows, new_columns) = old, positions.sizes
        notes.append(f"interpolated from {rows} x {columns} to {new_rows} x {new_columns} places")
    if leading > 1:
        notes.append(f"without {leading - 1} of other tokens in front")
    places = resize_positions(table[leading:], old, positions.sizes)
    where, note = f"{prefix}.positions", "; ".join(notes)
    transfer.fill(positions, "table", places, (stored,), prefix=where, note=note)
    if names["cls"] in backbone:
        cls = backbone[names["cls"]].reshape(-1)
        made_from, note = (names["cls"],), ""
        if leading:
            cls, note = cls + table[0], "with its position"
        transfer.fill(tokenizer, "cls", cls, made_from, prefix=prefix, note=note)


def _require_width(transfer: Transfer, part: str, width: int) -> None:
    backbone = transfer.backbone
    if backbone.width != width:
        raise CheckpointError(
            f"{backbone.source} is {backbone.width} wide, {part} has {width}: tokens are as wide "
            "as f; `network: {f: backbone}` in the recipe, or a width for f, sets it"
        )
