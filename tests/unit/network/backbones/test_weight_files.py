"""Files of published weights: what is read, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from omnivec2.errors import CheckpointError
from omnivec2.network.backbones.backbone import Backbone
from omnivec2.network.backbones.weight_files import read_weight_files
from tests.support.networks.backbone_files import bert_weights, vit_weights, write_backbone


def test_shards_are_read_as_one_file_is(tmp_path: Path) -> None:
    one = read_weight_files(write_backbone(tmp_path / "one", bert_weights()))
    three = read_weight_files(write_backbone(tmp_path / "three", bert_weights(), shards=3))
    assert one.tensors.keys() == three.tensors.keys()
    assert all(torch.equal(one.tensors[name], three.tensors[name]) for name in one.tensors)
    assert one.config == {}


def test_half_precision_becomes_float32(tmp_path: Path) -> None:
    half = {name: tensor.bfloat16() for name, tensor in bert_weights().items()}
    files = read_weight_files(write_backbone(tmp_path, half) / "model.safetensors")
    assert {tensor.dtype for tensor in files.tensors.values()} == {torch.float32}


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt"])
def test_a_pickle_is_refused_with_the_command_that_converts_it(tmp_path: Path, name: str) -> None:
    torch.save(bert_weights(), tmp_path / name)
    for path in (tmp_path, tmp_path / name):
        with pytest.raises(CheckpointError, match="can run code") as refused:
            read_weight_files(path)
    assert "save_file" in str(refused.value)
    command = str(refused.value).partition('python -c "')[2].removesuffix('"')
    exec(command)  # the command in the message does what it says
    assert read_weight_files(tmp_path).tensors.keys() == bert_weights().keys()


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no such file or directory"):
        read_weight_files(tmp_path / "nowhere")
    with pytest.raises(CheckpointError, match=r"has neither model\.safetensors nor"):
        read_weight_files(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"\x10")
    with pytest.raises(CheckpointError, match="not a whole safetensors file"):
        read_weight_files(tmp_path)
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"a": "../secret.safetensors"}}))
    with pytest.raises(CheckpointError, match=r"\.\./secret\.safetensors is not beside it"):
        read_weight_files(tmp_path)
    index.write_text(json.dumps({"weight_map": {"a": "model-1.safetensors"}}))
    with pytest.raises(CheckpointError, match=r"model-1\.safetensors: cannot be read"):
        read_weight_files(tmp_path)


@pytest.mark.parametrize("before", ["bert.", "model.", "module.bert.", "_orig_mod.model.bert."])
def test_names_of_a_wrapped_model_are_those_behind_its_own(tmp_path: Path, before: str) -> None:
    weights = {f"{before}{name}": tensor for name, tensor in bert_weights().items()}
    weights["classifier.weight"] = torch.zeros(2, 2)
    backbone = Backbone.read(write_backbone(tmp_path, weights))
    assert set(backbone) == {*bert_weights(), "classifier.weight"}
    assert backbone.depth == 2
    other = {f"text_tower.{name}": tensor for name, tensor in bert_weights().items()}
    path = write_backbone(tmp_path / "other", other)
    with pytest.raises(CheckpointError, match="names of no known backbone"):
        Backbone.read(path)


def test_names_of_an_unknown_kind_are_refused_with_those_that_are_known(tmp_path: Path) -> None:
    path = write_backbone(tmp_path, {"h.0.attn.weight": torch.zeros(2)}, model_type="gpt2")
    with pytest.raises(CheckpointError, match=r"model_type 'gpt2'.*known: BERT, RoBERTa, ViT"):
        Backbone.read(path)


def test_sizes_are_read_off_the_tensors(tmp_path: Path) -> None:
    sizes = Backbone.read(write_backbone(tmp_path / "vit", vit_weights(), model_type="vit")).sizes()
    assert (sizes.depth, sizes.width, sizes.heads, sizes.ffn) == (2, 32, 4, 48)
    assert (sizes.norm, sizes.eps) == ("pre", 1e-12)
    bare = Backbone.read(write_backbone(tmp_path / "bare", vit_weights()))
    with pytest.raises(CheckpointError, match=r"attention heads is in no config\.json"):
        bare.sizes()
    assert bare.sizes(2).heads == 2
