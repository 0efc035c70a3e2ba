"""The page on backbones from its recipe to an answer: a ViT and a BERT, trained on and served."""

from __future__ import annotations

import io
import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
import torch
from PIL import Image

from export.precision.int8_export import calibrate_and_write
from omnivec2.checkpoint import read_checkpoint
from omnivec2.network.frozen_config import TransformerConfig
from omnivec2.network.saved_network import load_network
from omnivec2.network.tokenizers.visual import VisualTokenizerConfig
from omnivec2.preprocess import collate, preprocessor_for
from omnivec2.training.batches import as_tensors
from tests.support.command_line import run
from tests.support.data_sets.tiny_data import TINY
from tests.support.documents import ROOT
from tests.support.gateways.servers import RunningServer, running_server, triton_gateway
from tests.support.networks import backbone_files
from tests.support.networks.backbone_files import HEADS, write_backbone

PAGE = (ROOT / "docs" / "backbones.md").read_text()
ROUTES = ("image/classification", "text/sentiment")


WIDTH, FFN = 128, 192
"""Large enough for layers with int8 rows."""


def documented(language: str, mark: str) -> str:
    """The fenced block of the page that holds a text."""
    blocks = re.findall(rf"^```{language}\n(.*?)^```$", PAGE, flags=re.DOTALL | re.MULTILINE)
    (block,) = [block for block in blocks if mark in block]
    return str(block)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder in which the documented commands up to ``serve`` were run."""
    root = tmp_path_factory.mktemp("backbones")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        patch.setattr(backbone_files, "WIDTH", WIDTH)
        patch.setattr(backbone_files, "FFN", FFN)
        for route in ROUTES:
            TINY[route](root / "data")
        _write_backbones(root / "backbones")
        recipe = documented("yaml", "# vit.yaml").replace("steps: 3000", "steps: 2")
        low_rank = "lora: {rank: 2}\nlayer_decay: 0.75\ncheckpoint_every_steps: 2\nbf16: false\n"
        (root / "vit.yaml").write_text(recipe.replace("preset: reference\n", "preset: tiny\n"))
        with (root / "vit.yaml").open("a") as file:
            file.write(low_rank)
        train, export, _ = documented("bash", "omnivec2 train vit.yaml").splitlines()
        for line in (train, export):
            done = run(*shlex.split(line.replace("DATA", "data"))[1:])
            assert done.exit_code == 0, done.output
            (root / f"{shlex.split(line)[1]}.txt").write_text(done.output)
        yield root


def _write_backbones(root: Path) -> None:
    vit = backbone_files.vit_weights()
    kernel = "embeddings.patch_embeddings.projection.weight"
    vit[kernel] = torch.randn(WIDTH, 3, 16, 16) * 0.02
    write_backbone(root / "vit-small-patch16", vit, model_type="vit")
    bert = backbone_files.bert_weights()
    bert["embeddings.word_embeddings.weight"] = torch.randn(30_522, WIDTH)
    bert["embeddings.position_embeddings.weight"] = torch.randn(512, WIDTH) * 0.1
    write_backbone(root / "bert", bert, prefix="bert.", shards=2, model_type="bert")


@pytest.fixture(scope="module", params=["embedded", "triton"])
def server(folder: Path, request: pytest.FixtureRequest) -> Iterator[RunningServer]:
    """The documented command, and a gateway before a Triton server on the same repository."""
    if request.param == "triton":
        with triton_gateway(folder / "runs" / "vit" / "model_repo") as running:
            yield running
        return
    line = documented("bash", "omnivec2 train vit.yaml").splitlines()[-1]
    _, _, *words = shlex.split(line)
    options = [word if word.startswith("--") else str(folder / word) for word in words]
    with running_server(*options) as running:
        yield running


def test_every_tensor_of_both_backbones_is_in_a_table(folder: Path) -> None:
    printed = (folder / "train.txt").read_text()
    assert "interpolated from 4 x 4 to 12 x 16 places" in " ".join(printed.split())
    assert printed.count("names):") == 2


def test_the_checkpoint_describes_the_network_and_holds_no_low_rank_updates(folder: Path) -> None:
    network = load_network(folder / "checkpoints" / "vit")
    assert network.config.trunk.f == TransformerConfig(
        depth=2, width=WIDTH, heads=HEADS, ffn=FFN, norm="pre", eps=1e-12
    )
    image = network.config.tokenizers["image"]
    assert isinstance(image, VisualTokenizerConfig)
    assert (image.stem, image.patch, image.token_norm) == ("patches", 16, False)
    assert not any("low_rank" in name for name in network.state_dict())
    heads = {head.route: head for head in read_checkpoint(folder / "checkpoints" / "vit").heads}
    assert heads["text/sentiment"].warm_starts == (
        "vit-small-patch16 (ViT names, local files)",
        "bert (BERT names, local files)",
    )


def test_the_service_answers_as_the_network_does(folder: Path, server: RunningServer) -> None:
    network = load_network(folder / "checkpoints" / "vit")
    heads = {head.route: head for head in read_checkpoint(folder / "checkpoints" / "vit").heads}
    pixels = np.random.default_rng(1).integers(0, 256, (96, 96, 3), dtype=np.uint8)
    picture = io.BytesIO()
    Image.fromarray(pixels).save(picture, "PNG")
    text = "a truly fine film"
    bodies = {
        "image/classification": {"content": picture.getvalue()},
        "text/sentiment": {"json": {"inputs": text, "parameters": {"top_k": 2}}},
    }
    for route, body in bodies.items():
        head = heads[route]
        value = picture.getvalue() if route.startswith("image") else text.encode()
        preprocessor = preprocessor_for(head.preprocess)
        prepared = preprocessor.prepare(preprocessor.decode(value))
        with torch.inference_mode():
            logits = network(route, as_tensors(collate(prepared.samples)))["logits"]
        expected = dict(zip(head.labels, logits.softmax(dim=1)[0].tolist(), strict=True))
        answer = httpx.post(f"{server.url}/predict/{route}", timeout=60, **body).json()
        rows = answer[0] if isinstance(answer[0], list) else answer
        assert rows
        for row in rows:
            assert row["score"] == pytest.approx(expected[row["label"]], abs=1e-4)


def test_the_trunk_is_quantised_to_int8(folder: Path) -> None:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (4, 96, 96, 3), dtype=np.uint8)
    samples = {"image/classification": [{"pixels": row} for row in pixels]}
    record = calibrate_and_write(folder / "checkpoints" / "vit", samples).record
    assert record.int8_layers > 0
    assert record.mean_relative_errors["image/classification"] < 0.1


def test_both_ways_of_counting_agree(folder: Path) -> None:
    lines = documented("bash", "omnivec2 models --cost").splitlines()
    counted = []
    for line in lines:
        done = run(*shlex.split(line)[1:], "--json")
        assert done.exit_code == 0, done.output
        counted.append(json.loads(done.output))
    assert counted[0]["weights"] == counted[1]["weights"]
    torch_costs, graph_costs = (
        {cost["route"]: cost for cost in content["operations"]} for content in counted
    )
    for route, cost in torch_costs.items():
        graph = graph_costs[route]
        assert graph["tokenizer"] == pytest.approx(cost["tokenizer"], rel=0.01)
        # Parts pad their tokens: the trunk computes in proportion to them, or a little more.
        padding = graph["tokens"] / cost["tokens"]
        assert padding * 0.99 <= graph["trunk"] / cost["trunk"] <= padding**2 * 1.01


def test_counting_in_a_repository_needs_no_torch(folder: Path) -> None:
    blocked = "import sys; sys.modules['torch'] = sys.modules['onnx'] = None\n"
    code = f"{blocked}from omnivec2_cli.main import main; main()"
    words = ["models", "--cost", "--model-repo", "runs/vit/model_repo"]
    done = subprocess.run(
        [sys.executable, "-c", code, *words],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "image/classification" in done.stdout
