"""The whole distillation of a picture's embedding, by a teacher and on pictures made up here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from rich.console import Console
from torch import Tensor

from omnivec2.checkpoint import load_stored_tensors, read_checkpoint
from omnivec2.errors import UnknownModelError
from omnivec2.network.config import NetworkConfig
from omnivec2.network.omnivec2 import OmniVec2
from omnivec2.network.saved_network import load_network, save_network
from omnivec2.network.tokenizers.visual import VisualTokenizerConfig
from omnivec2.spec import Modality
from omnivec2.training.distillation import distillation_run
from omnivec2.training.distillation.distillation_run import DistillRequest, distill
from omnivec2.training.distillation.teachers import Teacher
from omnivec2.training.distillation.unlabelled_inputs import Unlabelled
from tests.support.networks.cut_networks import ROUTES, cut_heads, one_layer

ROUTE, OTHER, OUTPUTS = "image/embedding", "image/detection", 6
PICTURES = 200


class ColourTeacher(Teacher):
    """A vector from the mean colours of the four quarters of a picture."""

    source = "colours"
    is_centred = True

    def forward(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Map ``pixels`` (B, h, w, 3) to (B, 12)."""
        pixels = inputs["pixels"].float().movedim(-1, 1) / 255
        return torch.nn.functional.adaptive_avg_pool2d(pixels, 2).flatten(1)


def pictures(_: Any, seed: int) -> Iterator[Any]:
    rng = np.random.default_rng(seed)
    for _ in range(PICTURES):
        quarters = rng.integers(0, 255, (2, 2, 3)).astype(np.uint8)
        yield quarters.repeat(32, axis=0).repeat(32, axis=1)


@pytest.fixture(autouse=True)
def made_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distillation_run, "TEACHERS", {Modality.IMAGE: ColourTeacher})
    unlabelled = {Modality.IMAGE: Unlabelled(pictures, ())}
    monkeypatch.setattr(distillation_run, "UNLABELLED", unlabelled)
    monkeypatch.setattr(distillation_run, "DIMENSIONS", {Modality.IMAGE: OUTPUTS})
    monkeypatch.setattr(distillation_run, "EPOCHS", 1)


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return write_base(tmp_path / "base", stem_blocks=11)


def write_base(directory: Path, stem_blocks: int) -> Path:
    torch.manual_seed(0)
    preset = one_layer()
    changes = {
        "tokenizers": {
            "image": VisualTokenizerConfig(
                modality=Modality.IMAGE, stem_blocks=stem_blocks, grid=(1, 4, 4)
            )
        },
        "heads": {route: ROUTES[route] for route in (ROUTE, OTHER)},
    }
    network = OmniVec2(NetworkConfig.model_validate(preset | changes)).eval()
    heads = [
        head.model_copy(
            update={
                "preprocess": head.preprocess.model_copy(
                    update={"parameters": {"height": 64, "width": 64}}
                )
            }
        )
        for head in cut_heads(network)
    ]
    save_network(directory, network, network.state_dict(), heads)
    return directory


def request(base: Path, out: Path, modality: Modality = Modality.IMAGE) -> DistillRequest:
    here = base.parent
    return DistillRequest(modality, here, here / "cache", base, out, here / "run")


def test_a_head_and_a_branch_are_added_and_all_else_is_kept_bit_for_bit(
    base: Path, tmp_path: Path
) -> None:
    distilled = distill(request(base, tmp_path / "out"), Console(quiet=True))
    assert distilled.likeness > 0.6
    before, after = load_stored_tensors(base), load_stored_tensors(tmp_path / "out")
    assert all(np.array_equal(after[name], value) for name, value in before.items())
    added = {".".join(name.split(".")[:3]) for name in after.keys() - before.keys()}
    assert "tokenizers.image.deep" in added
    assert all(
        name.startswith(("tokenizers.image.deep", "heads.image_embedding")) for name in added
    )
    network = load_network(tmp_path / "out")
    assert network.config.tokenizers["image"].own_widths == {"deep": 320}
    head = next(h for h in read_checkpoint(tmp_path / "out").heads if h.route == ROUTE)
    assert head.outputs[0].shape == (OUTPUTS,)
    assert "colours" in head.warm_starts
    pixels = torch.from_numpy(np.stack(list(pictures(None, 1))[:4]))
    with torch.inference_mode():
        assert network(ROUTE, {"pixels": pixels})["embedding"].shape == (4, OUTPUTS)
        whole = load_network(base)(OTHER, {"pixels": pixels})
        for name, value in network(OTHER, {"pixels": pixels}).items():
            assert torch.equal(value, whole[name])


def test_a_branch_that_is_there_is_not_trained_again(base: Path, tmp_path: Path) -> None:
    distill(request(base, tmp_path / "once"), Console(quiet=True))
    distill(request(tmp_path / "once", tmp_path / "twice"), Console(quiet=True))
    once, twice = (load_stored_tensors(tmp_path / name) for name in ("once", "twice"))
    assert once.keys() == twice.keys()
    assert all(np.array_equal(once[name], twice[name]) for name in once)


def test_a_stem_that_is_too_short_for_a_branch_does_without(tmp_path: Path) -> None:
    distill(request(write_base(tmp_path / "base", 7), tmp_path / "out"), Console(quiet=True))
    network = load_network(tmp_path / "out")
    assert not network.config.tokenizers["image"].own_widths
    assert network.config.heads[ROUTE].summaries == ("f_mean", "f_input_mean")


def test_a_modality_without_a_teacher_is_refused(base: Path, tmp_path: Path) -> None:
    with pytest.raises(UnknownModelError, match="no teacher for audio; there is one for image"):
        distill(request(base, tmp_path / "out", Modality.AUDIO), Console(quiet=True))
