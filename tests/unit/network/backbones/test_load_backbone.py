"""Published backbones in the network: equal outputs, and every tensor accounted for."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from omnivec2.errors import CheckpointError
from omnivec2.network.backbones.load_backbone import load_backbones
from omnivec2.network.backbones.weight_report import WeightReport, report_table
from omnivec2.network.config import PRESETS, NetworkConfig
from omnivec2.network.frozen_config import TransformerConfig
from omnivec2.network.layers import Tokens
from omnivec2.network.omnivec2 import OmniVec2
from omnivec2.network.tokenizers.text import TextTokenizerConfig
from omnivec2.network.tokenizers.visual import VisualTokenizerConfig
from omnivec2.spec import Modality
from tests.support.networks.backbone_files import (
    DEPTH,
    FFN,
    GRID,
    HEADS,
    PATCH,
    SIDE,
    WIDTH,
    WORDS,
    bert_weights,
    dinov2_weights,
    timm_weights,
    vit_weights,
    write_backbone,
)
from tests.support.networks.networks import TOKENIZERS

POST = TransformerConfig(depth=DEPTH, width=WIDTH, heads=HEADS, ffn=FFN)
PRE = POST.model_copy(update={"norm": "pre", "eps": 1e-12})
PATCHES = VisualTokenizerConfig(
    modality=Modality.IMAGE, stem="patches", patch=PATCH, grid=(1, GRID, GRID), token_norm=False
)
TEXT = TextTokenizerConfig(vocabulary=WORDS, positions=64)


def network_of(f: TransformerConfig, **tokenizers) -> OmniVec2:
    torch.manual_seed(0)
    trunk = PRESETS["tiny"].trunk.model_copy(update={"f": f})
    config = PRESETS["tiny"].model_dump() | {"trunk": trunk, "tokenizers": tokenizers}
    return OmniVec2(NetworkConfig.model_validate(config)).eval()


def torch_layer(weights: Mapping[str, Tensor], names: Mapping[str, str], *, pre: bool, eps: float):
    """torch's own encoder layer with the weights of one layer."""
    layer = nn.TransformerEncoderLayer(
        WIDTH, HEADS, FFN, 0.0, "gelu", eps, batch_first=True, norm_first=pre
    ).eval()
    state = {}
    for kind in ("weight", "bias"):
        parts = [weights[f"{names[part]}.{kind}"] for part in ("query", "key", "value")]
        state[f"self_attn.in_proj_{kind}"] = torch.cat(parts)
        for ours in ("self_attn.out_proj", "linear1", "linear2", "norm1", "norm2"):
            state[f"{ours}.{kind}"] = weights[f"{names[ours]}.{kind}"]
    layer.load_state_dict(state)
    return layer


def bert_layer(weights: Mapping[str, Tensor], index: int) -> nn.Module:
    prefix = f"encoder.layer.{index}"
    names = {part: f"{prefix}.attention.self.{part}" for part in ("query", "key", "value")} | {
        "self_attn.out_proj": f"{prefix}.attention.output.dense",
        "linear1": f"{prefix}.intermediate.dense",
        "linear2": f"{prefix}.output.dense",
        "norm1": f"{prefix}.attention.output.LayerNorm",
        "norm2": f"{prefix}.output.LayerNorm",
    }
    return torch_layer(weights, names, pre=False, eps=1e-12)


def vit_layer(weights: Mapping[str, Tensor], index: int) -> nn.Module:
    prefix = f"encoder.layer.{index}"
    names = {part: f"{prefix}.attention.attention.{part}" for part in ("query", "key", "value")} | {
        "self_attn.out_proj": f"{prefix}.attention.output.dense",
        "linear1": f"{prefix}.intermediate.dense",
        "linear2": f"{prefix}.output.dense",
        "norm1": f"{prefix}.layernorm_before",
        "norm2": f"{prefix}.layernorm_after",
    }
    return torch_layer(weights, names, pre=True, eps=1e-12)


def vit_tokens(weights: Mapping[str, Tensor], pixels: Tensor, mean: float, std: float) -> Tensor:
    """The embeddings of a ViT, by a convolution as the original has it."""
    scaled = (pixels.permute(0, 3, 1, 2) / 255.0 - mean) / std
    cells = F.conv2d(
        scaled,
        weights["embeddings.patch_embeddings.projection.weight"],
        weights["embeddings.patch_embeddings.projection.bias"],
        stride=PATCH,
    )
    cls = weights["embeddings.cls_token"].expand(len(pixels), -1, -1)
    tokens = torch.cat([cls, cells.flatten(2).transpose(1, 2)], dim=1)
    return tokens + weights["embeddings.position_embeddings"]


def assert_all_accounted(report: WeightReport, stored: set[str]) -> None:
    taken, left = report.names("taken"), report.names("left")
    assert taken | left == stored
    assert not taken & left
    assert all(row.note for row in report.rows if row.outcome != "taken")


def assert_equal(a: Tensor, b: Tensor) -> None:
    assert float((a - b).abs().max()) < 1e-5 * float(b.abs().max())


@torch.no_grad()
def test_a_bert_answers_in_tokenizer_and_trunk_as_the_original_does(tmp_path: Path) -> None:
    weights = bert_weights()
    old = {
        name.replace("LayerNorm.weight", "LayerNorm.gamma").replace(
            "LayerNorm.bias", "LayerNorm.beta"
        ): tensor
        for name, tensor in weights.items()
    }
    # As bert-base-uncased has it: a prefix, TensorFlow's names of LayerNorm, and heads.
    path = write_backbone(
        tmp_path / "bert", old, prefix="bert.", shards=2, model_type="bert", layer_norm_eps=1e-12
    )
    network = network_of(POST, text=TEXT, imu=TOKENIZERS["imu"])
    (report,) = load_backbones(network, {"trunk": path, "tokenizer.text": path})
    ids = torch.randint(0, WORDS, (2, 9))
    segments = torch.randint(0, 2, (2, 9))
    mask = torch.ones(2, 9, dtype=torch.int32)
    mask[1, 6:] = 0

    x = (
        F.embedding(ids, weights["embeddings.word_embeddings.weight"])
        + weights["embeddings.position_embeddings.weight"][:9]
        + F.embedding(segments, weights["embeddings.token_type_embeddings.weight"])
    )
    norm = weights["embeddings.LayerNorm.weight"], weights["embeddings.LayerNorm.bias"]
    x = F.layer_norm(x, (WIDTH,), *norm, eps=1e-12)
    inputs = {"input_ids": ids, "token_type_ids": segments, "attention_mask": mask}
    tokens = network.tokenizers["text"](inputs)
    assert_equal(tokens.x_BND, x)
    for index in range(DEPTH):
        x = bert_layer(weights, index)(x, src_key_padding_mask=mask == 0)
    features = network.trunk.f.transformer(tokens.x_BND, tokens.mask_BN)
    assert_equal(features[0], x[0])
    assert_equal(features[1, :6], x[1, :6])

    assert_all_accounted(report, {f"bert.{name}" for name in old})
    assert report.names("left") == {"bert.pooler.dense.weight", "bert.pooler.dense.bias"}
    fresh = report.names("fresh")
    assert {"trunk.f.fc.0.weight", "trunk.g.transformer.layers.0.up.bias"} <= fresh
    assert not any(name.startswith("trunk.f.transformer") for name in fresh)
    # Tokens of other modalities start on the scale of words.
    assert torch.equal(network.tokenizers["imu"].norm.weight, norm[0])


@torch.no_grad()
def test_a_vit_answers_in_tokenizer_and_trunk_as_the_original_does(tmp_path: Path) -> None:
    weights = vit_weights()
    path = write_backbone(
        tmp_path / "vit", weights | {"classifier.weight": torch.ones(5, WIDTH)}, model_type="vit",
        image_size=SIDE, patch_size=PATCH,
    )  # fmt: skip
    network = network_of(PRE, image=PATCHES)
    (report,) = load_backbones(network, {"trunk": path, "tokenizer.image": path})
    pixels = torch.randint(0, 256, (2, SIDE, SIDE, 3), dtype=torch.uint8)
    expected = vit_tokens(weights, pixels, 0.5, 0.5)
    tokens = network.tokenizers["image"]({"pixels": pixels})
    assert_equal(tokens.x_BND, expected)
    for index in range(DEPTH):
        expected = vit_layer(weights, index)(expected)
    norm = weights["layernorm.weight"], weights["layernorm.bias"]
    expected = F.layer_norm(expected, (WIDTH,), *norm, eps=1e-12)
    assert_equal(network.trunk.f.transformer(tokens.x_BND), expected)
    assert_all_accounted(report, {*weights, "classifier.weight"})
    assert report.names("left") == {"classifier.weight"}


@torch.no_grad()
def test_layer_scale_of_a_dinov2_is_part_of_the_maps_before_it(tmp_path: Path) -> None:
    weights = dinov2_weights()
    path = write_backbone(tmp_path / "dino", weights, model_type="dinov2", layer_norm_eps=1e-6)
    network = network_of(PRE.model_copy(update={"eps": 1e-6}), image=PATCHES)
    (report,) = load_backbones(network, {"trunk": path, "tokenizer.image": path})
    pixels = torch.randint(0, 256, (2, SIDE, SIDE, 3), dtype=torch.uint8)
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    x = vit_tokens(weights, (pixels / 255.0 - mean) / std * 255.0, 0.0, 1.0)
    tokens = network.tokenizers["image"]({"pixels": pixels})
    assert_equal(tokens.x_BND, x)

    def norm(name: str, value: Tensor) -> Tensor:
        scale, shift = weights[f"{name}.weight"], weights[f"{name}.bias"]
        return F.layer_norm(value, (WIDTH,), scale, shift, eps=1e-6)

    def linear(name: str, value: Tensor) -> Tensor:
        return F.linear(value, weights[f"{name}.weight"], weights[f"{name}.bias"])

    for index in range(DEPTH):
        prefix = f"encoder.layer.{index}"
        y = norm(f"{prefix}.norm1", x)
        q, k, v = (
            linear(f"{prefix}.attention.attention.{part}", y).unflatten(2, (HEADS, -1))
            for part in ("query", "key", "value")
        )
        share = (torch.einsum("bnhd,bmhd->bhnm", q, k) / (WIDTH / HEADS) ** 0.5).softmax(dim=-1)
        mixed = torch.einsum("bhnm,bmhd->bnhd", share, v).flatten(2)
        gain = weights[f"{prefix}.layer_scale1.lambda1"]
        x = x + gain * linear(f"{prefix}.attention.output.dense", mixed)
        y = F.gelu(linear(f"{prefix}.mlp.fc1", norm(f"{prefix}.norm2", x)))
        gain = weights[f"{prefix}.layer_scale2.lambda1"]
        x = x + gain * linear(f"{prefix}.mlp.fc2", y)
    assert_equal(network.trunk.f.transformer(tokens.x_BND), norm("layernorm", x))
    assert_all_accounted(report, set(weights))
    assert report.names("left") == {"embeddings.mask_token"}


@torch.no_grad()
def test_fused_projections_of_timm_are_split(tmp_path: Path) -> None:
    vit, timm = network_of(PRE, image=PATCHES), network_of(PRE, image=PATCHES)
    paths = {
        vit: write_backbone(tmp_path / "vit", vit_weights(), model_type="vit"),
        # A bare file without a config.json; the recipe says how many heads there are.
        timm: write_backbone(tmp_path / "timm", timm_weights()) / "model.safetensors",
    }
    for network, path in paths.items():
        (report,) = load_backbones(network, {"trunk": path, "tokenizer.image": path})
    assert_all_accounted(report, set(timm_weights()))
    tokens = Tokens(torch.randn(1, 5, WIDTH))
    assert torch.equal(timm.trunk.f(tokens).x_BND, vit.trunk.f(tokens).x_BND)


@torch.no_grad()
def test_positions_are_interpolated_to_another_grid_and_the_report_says_so(tmp_path: Path) -> None:
    weights = vit_weights(leading=2) | {"embeddings.distillation_token": torch.zeros(1, 1, WIDTH)}
    path = write_backbone(tmp_path / "deit", weights, prefix="deit.", model_type="deit")
    wider = PATCHES.model_copy(update={"grid": (1, 3, 6)})
    network = network_of(PRE, image=wider)
    (report,) = load_backbones(network, {"tokenizer.image": path})
    table = weights["embeddings.position_embeddings"][0, 2:].T.reshape(1, WIDTH, GRID, GRID)
    expected = F.interpolate(table, size=(3, 6), mode="bicubic")
    positions = network.tokenizers["image"].positions
    assert_equal(positions((1, 3, 6)), expected.flatten(2)[0].T)
    notes = {row.theirs: row.note for row in report.rows}
    assert notes["deit.embeddings.position_embeddings"] == (
        "interpolated from 4 x 4 to 3 x 6 places; without 1 of other tokens in front"
    )
    assert "its position is left out" in notes["deit.embeddings.distillation_token"]
    assert "does not name the trunk" in notes["deit.encoder.layer.0.layernorm_before.bias"]
    assert_all_accounted(report, {f"deit.{name}" for name in weights})
    # A picture of another size gets the table interpolated once more.
    pixels = torch.zeros(1, 2 * PATCH, 2 * PATCH, 3, dtype=torch.uint8)
    assert network.tokenizers["image"]({"pixels": pixels}).x_BND.shape == (1, 5, WIDTH)


@torch.no_grad()
def test_grey_pictures_and_clips_take_a_kernel_in_colour(tmp_path: Path) -> None:
    weights = vit_weights()
    path = write_backbone(tmp_path / "vit", weights, model_type="vit")
    grey = PATCHES.model_copy(update={"modality": Modality.XRAY})
    clip = PATCHES.model_copy(
        update={"modality": Modality.VIDEO, "tubelet": (2, 1, 1), "grid": (2, GRID, GRID)}
    )
    network = network_of(PRE, image=PATCHES, xray=grey, video=clip)
    parts = {f"tokenizer.{name}": path for name in ("image", "xray", "video")}
    load_backbones(network, parts)
    pixels = torch.randint(0, 256, (1, SIDE, SIDE, 1), dtype=torch.uint8)
    colour = pixels.expand(-1, -1, -1, 3)
    expected = network.tokenizers["image"]({"pixels": colour}).x_BND
    assert_equal(network.tokenizers["xray"]({"pixels": pixels}).x_BND, expected)
    still = colour[:, None].expand(-1, 4, -1, -1, -1)
    tokens = network.tokenizers["video"]({"frames": still}).x_BND
    assert_equal(tokens[:, 1 : 1 + GRID**2], expected[:, 1:])
    assert tokens.shape[1] == 1 + 2 * GRID**2


def test_the_table_groups_layers_and_counts_tensors(tmp_path: Path) -> None:
    path = write_backbone(tmp_path / "bert", bert_weights(depth=3), model_type="bert")
    network = network_of(POST, text=TEXT)
    (report,) = load_backbones(network, {"trunk": path})
    rows = {(row.theirs, row.note): row.count for row in report.grouped()}
    assert rows["encoder.layer.*.output.dense.{weight,bias}", ""] == 4
    # f has two layers, the file three.
    assert rows["encoder.layer.2.output.dense.{weight,bias}", "f has 2 layers"] == 2
    fresh = {row.ours: row.count for row in report.grouped() if row.outcome == "fresh"}
    assert fresh["trunk.f.fc.*.{weight,bias}"] == 2 * len(PRESETS["tiny"].trunk.fc_widths)
    assert "tensors taken" in str(report_table(report).title)
    assert_all_accounted(report, set(bert_weights(depth=3)))


@pytest.mark.parametrize(
    ("f", "parts", "config", "named"),
    [
        (PRE, ["trunk"], {}, "post-norm, those of f 32 wide .* pre-norm; `network: {f: backbone}`"),
        (POST.model_copy(update={"ffn": 64}), ["trunk"], {}, "ffn 48, .* with ffn 64"),
        (POST, ["tokenizer.image"], {}, "BERT has no patches"),
        (POST, ["tokenizer.imu"], {}, "takes no backbone; texts do"),
        (POST, ["tokenizer.pictures"], {}, "no part tokenizer.pictures; there are trunk"),
        (POST, ["trunk"], {"hidden_act": "silu"}, "its layers have silu"),
        (POST, ["trunk"], {"position_embedding_type": "relative_key"}, "positions are relative"),
    ],
)
def test_what_does_not_fit_is_named_with_what_to_do(
    tmp_path: Path, f: TransformerConfig, parts: list[str], config: dict[str, str], named: str
) -> None:
    path = write_backbone(tmp_path / "bert", bert_weights(), **{"model_type": "bert", **config})
    network = network_of(f, text=TEXT, image=PATCHES, imu=TOKENIZERS["imu"])
    with pytest.raises(CheckpointError, match=named):
        load_backbones(network, dict.fromkeys(parts, path))


def test_words_of_another_vocabulary_are_refused(tmp_path: Path) -> None:
    path = write_backbone(tmp_path / "bert", bert_weights(), model_type="bert")
    network = network_of(POST, text=TEXT.model_copy(update={"vocabulary": 90}))
    with pytest.raises(CheckpointError, match="100 words, not the 90"):
        load_backbones(network, {"tokenizer.text": path})
    roberta = write_backbone(
        tmp_path / "roberta", bert_weights(), prefix="roberta.", model_type="roberta"
    )
    with pytest.raises(CheckpointError, match="RoBERTa has no embeddings of WordPiece words"):
        load_backbones(network_of(POST, text=TEXT), {"tokenizer.text": roberta})
    # Its layers are BERT's.
    (report,) = load_backbones(network_of(POST), {"trunk": roberta})
    assert "roberta.encoder.layer.1.output.dense.bias" in report.names("taken")
    notes = {row.theirs: row.note for row in report.rows}
    assert "byte pairs" in notes["roberta.embeddings.word_embeddings.weight"]
