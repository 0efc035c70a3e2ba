"""The layers of a backbone in f's transformer."""

from __future__ import annotations

from torch import nn

from omnivec2.errors import CheckpointError
from omnivec2.network.backbones.transfer import Transfer
from omnivec2.network.frozen_config import TransformerConfig
from omnivec2.network.omnivec2 import OmniVec2

_PREFIX = "trunk.f.transformer"
_KINDS = ("weight", "bias")
_NORMS = ("attention_norm", "ffn_norm")


def transfer_layers(transfer: Transfer, network: OmniVec2) -> None:
    """Fill f's layers, as many as both have, and the LayerNorm after them.

    Raises:
        CheckpointError: The layers of f have other sizes, or LayerNorm at another place.
    """
    f, backbone = network.trunk.f.transformer, transfer.backbone
    own = network.config.trunk.f
    _require_same_sizes(transfer, own)
    shared = min(len(f.layers), backbone.depth)
    eps = own.norm_eps("post")
    difference = f"epsilon {eps:g} here, {backbone.eps:g} there" if eps != backbone.eps else ""
    for index in range(shared):
        prefix = f"{_PREFIX}.layers.{index}"
        for ours, (tensor, theirs, change) in backbone.layer_tensors(index).items():
            note = difference if ours.startswith(_NORMS) else change
            transfer.fill(f.layers[index], ours, tensor, theirs, prefix=prefix, note=note)
    for name in backbone:
        if (backbone.layer_number(name) or 0) >= shared:
            transfer.reasons[name] = f"f has {shared} layers"
    for ours, module in backbone.layout.trunk.items():
        for name, source in ((f"{ours}.{kind}", f"{module}.{kind}") for kind in _KINDS):
            if source in backbone:
                tensor = backbone[source]
                transfer.fill(f, name, tensor, [source], prefix=_PREFIX, note=difference)
    _share_norm_of_words(transfer, network)
    filled = {row.ours for row in transfer.report.rows}
    for name, _ in network.trunk.named_parameters(prefix="trunk"):
        if name not in filled:
            reason = "not in the file" if name.startswith(_PREFIX) else "no part of a backbone"
            transfer.report.fresh(name, reason)


def _require_same_sizes(transfer: Transfer, own: TransformerConfig) -> None:
    """Raise unless f's layers have the backbone's width and norm order."""
    found = transfer.backbone.sizes(own.heads)
    if _described(own) != _described(found):
        raise CheckpointError(
            f"{transfer.backbone.source}: its layers are {_described(found)}, those of f "
            f"{_described(own)}; `network: {{f: backbone}}` in the recipe takes the backbone's"
        )


def _described(sizes: TransformerConfig) -> str:
    order = sizes.norm_order("post")
    return f"{sizes.width} wide with ffn {sizes.ffn}, {sizes.heads} heads and {order}-norm"


def _share_norm_of_words(transfer: Transfer, network: OmniVec2) -> None:
    """Start the LayerNorm of every tokenizer from that of a BERT's embeddings.

    Tokens of every modality then start on the scale that f's layers know from words.
    """
    backbone = transfer.backbone
    for kind in _KINDS:
        theirs = backbone.layout.text.get(f"norm.{kind}")
        if theirs is None or theirs not in backbone:
            continue
        for name, tokenizer in network.tokenizers.items():
            norm = tokenizer.get_submodule("norm")
            if isinstance(norm, nn.LayerNorm):
                transfer.fill(
                    norm,
                    kind,
                    backbone[theirs],
                    (theirs,),
                    prefix=f"tokenizers.{name}.norm",
                    note="tokens start on the scale of words",
                )
