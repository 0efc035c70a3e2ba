"""Tiny backbones with random weights under the names that published files have."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

WIDTH, FFN, HEADS, DEPTH, PATCH, SIDE = 32, 48, 4, 2, 8, 32
GRID = SIDE // PATCH
WORDS = 100

Weights = dict[str, Tensor]


def _linear(name: str, outputs: int, inputs: int) -> Weights:
    weight = torch.randn(outputs, inputs) / inputs**0.5
    return {f"{name}.weight": weight, f"{name}.bias": torch.randn(outputs) * 0.1}


def _norm(name: str) -> Weights:
    return {f"{name}.weight": torch.rand(WIDTH) + 0.5, f"{name}.bias": torch.randn(WIDTH) * 0.1}


def bert_weights(depth: int = DEPTH) -> Weights:
    """A BERT as ``BertModel`` saves it."""
    torch.manual_seed(1)
    weights = {
        "embeddings.word_embeddings.weight": torch.randn(WORDS, WIDTH),
        "embeddings.position_embeddings.weight": torch.randn(64, WIDTH),
        "embeddings.token_type_embeddings.weight": torch.randn(2, WIDTH),
        **_norm("embeddings.LayerNorm"),
    }
    for index in range(depth):
        prefix = f"encoder.layer.{index}"
        for name in ("query", "key", "value"):
            weights |= _linear(f"{prefix}.attention.self.{name}", WIDTH, WIDTH)
        weights |= _linear(f"{prefix}.attention.output.dense", WIDTH, WIDTH)
        weights |= _norm(f"{prefix}.attention.output.LayerNorm")
        weights |= _linear(f"{prefix}.intermediate.dense", FFN, WIDTH)
        weights |= _linear(f"{prefix}.output.dense", WIDTH, FFN)
        weights |= _norm(f"{prefix}.output.LayerNorm")
    return weights | _linear("pooler.dense", WIDTH, WIDTH)


def _patches(leading: int, channels: int = 3) -> Weights:
    places = leading + GRID**2
    return {
        "embeddings.cls_token": torch.randn(1, 1, WIDTH),
        "embeddings.position_embeddings": torch.randn(1, places, WIDTH) * 0.3,
        "embeddings.patch_embeddings.projection.weight": torch.randn(
            WIDTH, channels, PATCH, PATCH
        ) * 0.05,
        "embeddings.patch_embeddings.projection.bias": torch.randn(WIDTH) * 0.1,
    }  # fmt: skip


def vit_weights(leading: int = 1) -> Weights:
    """A ViT as ``ViTModel`` saves it; with two leading tokens a DeiT's layers."""
    torch.manual_seed(2)
    weights = _patches(leading)
    for index in range(DEPTH):
        prefix = f"encoder.layer.{index}"
        for name in ("query", "key", "value"):
            weights |= _linear(f"{prefix}.attention.attention.{name}", WIDTH, WIDTH)
        weights |= _linear(f"{prefix}.attention.output.dense", WIDTH, WIDTH)
        weights |= _norm(f"{prefix}.layernorm_before")
        weights |= _norm(f"{prefix}.layernorm_after")
        weights |= _linear(f"{prefix}.intermediate.dense", FFN, WIDTH)
        weights |= _linear(f"{prefix}.output.dense", WIDTH, FFN)
    return weights | _norm("layernorm")


def dinov2_weights() -> Weights:
    """A DINOv2 as ``Dinov2Model`` saves it."""
    torch.manual_seed(3)
    weights = _patches(1) | {"embeddings.mask_token": torch.zeros(1, WIDTH)}
    for index in range(DEPTH):
        prefix = f"encoder.layer.{index}"
        for name in ("query", "key", "value"):
            weights |= _linear(f"{prefix}.attention.attention.{name}", WIDTH, WIDTH)
        weights |= _linear(f"{prefix}.attention.output.dense", WIDTH, WIDTH)
        weights |= _norm(f"{prefix}.norm1") | _norm(f"{prefix}.norm2")
        weights |= _linear(f"{prefix}.mlp.fc1", FFN, WIDTH)
        weights |= _linear(f"{prefix}.mlp.fc2", WIDTH, FFN)
        for number in (1, 2):
            weights[f"{prefix}.layer_scale{number}.lambda1"] = torch.rand(WIDTH)
    return weights | _norm("layernorm")


def timm_weights() -> Weights:
    """The ViT of :func:`vit_weights` under timm's names."""
    vit = vit_weights()
    weights = {
        "cls_token": vit["embeddings.cls_token"],
        "pos_embed": vit["embeddings.position_embeddings"],
    }
    for index in range(DEPTH):
        theirs, ours = f"encoder.layer.{index}", f"blocks.{index}"
        for kind in ("weight", "bias"):
            parts = [
                vit[f"{theirs}.attention.attention.{n}.{kind}"] for n in ("query", "key", "value")
            ]
            weights[f"{ours}.attn.qkv.{kind}"] = torch.cat(parts)
            for old, new in (
                ("attention.output.dense", "attn.proj"),
                ("layernorm_before", "norm1"),
                ("layernorm_after", "norm2"),
                ("intermediate.dense", "mlp.fc1"),
                ("output.dense", "mlp.fc2"),
            ):
                weights[f"{ours}.{new}.{kind}"] = vit[f"{theirs}.{old}.{kind}"]
    for kind in ("weight", "bias"):
        weights[f"norm.{kind}"] = vit[f"layernorm.{kind}"]
        projection = vit[f"embeddings.patch_embeddings.projection.{kind}"]
        weights[f"patch_embed.proj.{kind}"] = projection
    return weights | _linear("head", 5, WIDTH)


def write_backbone(
    directory: Path, weights: Weights, *, prefix: str = "", shards: int = 1, **config: object
) -> Path:
    """Write weights as Hugging Face's libraries do.

    Args:
        directory: The directory.
        weights: The tensors by name.
        prefix: The prefix of all names.
        shards: The number of files.
        config: The content of ``config.json``; none is written without any.
    """
    directory.mkdir(parents=True, exist_ok=True)
    named = {f"{prefix}{name}": tensor.contiguous() for name, tensor in weights.items()}
    if shards == 1:
        save_file(named, directory / "model.safetensors")
    else:
        names, where = sorted(named), {}
        for number in range(shards):
            file = f"model-{number + 1:05}-of-{shards:05}.safetensors"
            part = names[number::shards]
            save_file({name: named[name] for name in part}, directory / file)
            where |= dict.fromkeys(part, file)
        index = {"metadata": {}, "weight_map": where}
        (directory / "model.safetensors.index.json").write_text(json.dumps(index))
    if config:
        sizes = {
            "num_attention_heads": HEADS, "hidden_size": WIDTH, "intermediate_size": FFN,
            "num_hidden_layers": DEPTH, "hidden_act": "gelu",
        }  # fmt: skip
        (directory / "config.json").write_text(json.dumps(sizes | config))
    return directory
