"""A tiny network to adapt, and small labelled data sets in every form that is read."""

from __future__ import annotations

import csv
import gzip
import struct
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from omnivec2.network.config import HeadConfig, NetworkConfig
from omnivec2.network.omnivec2 import OmniVec2
from omnivec2.network.saved_network import save_network
from omnivec2.network.tokenizers.graph import GraphTokenizerConfig
from omnivec2.network.tokenizers.series import (
    HyperspectralTokenizerConfig,
    ImuTokenizerConfig,
    TimeSeriesTokenizerConfig,
)
from omnivec2.network.tokenizers.tabular import TabularTokenizerConfig
from omnivec2.network.tokenizers.text import TextTokenizerConfig
from omnivec2.network.tokenizers.visual import VisualTokenizerConfig
from omnivec2.network.warmstart import warm_start
from omnivec2.preprocess import preprocessor_for
from omnivec2.preprocess.graph import ATOM_FIELD_SIZES, BOND_FIELD_SIZES
from omnivec2.spec import HeadSpec, Modality, TaskFamily, TensorSpec
from omnivec2.training.data.base import Split, TaskData, preprocess_spec
from omnivec2.training.structure.fitted_constants import fit_constants
from tests.support.networks.cut_networks import one_layer

PREPROCESS = {
    Modality.IMAGE: {"height": 32, "width": 32, "resize": "crop"},
    Modality.TEXT: {"max_tokens": 64, "pair": False},
    Modality.IMU: {"window": 16, "rate_hz": 50.0, "channels": ["acc_x", "acc_y", "acc_z"]},
    Modality.HYPERSPECTRAL: {"window": 3, "bands": 20},
    Modality.GRAPH: {"laplacian_dims": 16},
    Modality.TABULAR: {"columns": [{"name": "a", "kind": "number"}]},
    Modality.TIMESERIES: {"context_length": 48, "horizon": 12},
}

TOKENIZERS = {
    "image": VisualTokenizerConfig.model_validate(
        {"modality": Modality.IMAGE, "stem_blocks": 6, "grid": (1, 2, 2)}
    ),
    "text": TextTokenizerConfig(positions=64),
    "imu": ImuTokenizerConfig(window=16, channels=3),
    "hyperspectral": HyperspectralTokenizerConfig(bands=20, window=3, band_group=5),
    "graph": GraphTokenizerConfig(
        node_cardinalities=tuple(ATOM_FIELD_SIZES), edge_cardinalities=tuple(BOND_FIELD_SIZES)
    ),
    "tabular": TabularTokenizerConfig(numbers=1, cardinalities=()),
    "timeseries": TimeSeriesTokenizerConfig(context_length=48),
}


def tiny_base(directory: Path, *modalities: Modality) -> Path:
    """A checkpoint of an untrained tiny network with an embedding per modality."""
    torch.manual_seed(0)
    chosen = modalities or tuple(PREPROCESS)
    config = NetworkConfig.model_validate(
        one_layer()
        | {
            "tokenizers": {m.value: TOKENIZERS[m.value] for m in chosen},
            "heads": {
                f"{m.value}/embedding": HeadConfig(family=TaskFamily.EMBEDDING, tokenizer=m.value)
                for m in chosen
            },
        }
    )
    network = OmniVec2(config).eval()
    if Modality.IMAGE in chosen:
        _see_pictures(network)
    save_network(directory, network, network.state_dict(), [_embedding(m) for m in chosen])
    return directory


def _see_pictures(network: OmniVec2) -> None:
    """Give it a stem that has learned to see, and scale what that makes, as training does.

    What a stem at its random start makes of pictures hardly differs, and heads that blow the
    difference up would blow up rounding, too.
    """
    warm_start(network)
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 256, (64, 32, 32, 3)) * rng.uniform(0, 1, (64, 1, 1, 1))
    task = TaskData(
        route="image/any",
        family=TaskFamily.CLASSIFICATION,
        preprocess=preprocess_spec(Modality.IMAGE, **PREPROCESS[Modality.IMAGE]),
        splits={"train": Split([{"pixels": p.astype(np.uint8)} for p in pictures], np.zeros(64))},
        metric="accuracy",
        test_name="",
        sources=(),
    )
    fit_constants(network, [task])


def _embedding(modality: Modality) -> HeadSpec:
    preprocess = preprocess_spec(modality, **PREPROCESS[modality])
    preprocessor = preprocessor_for(preprocess)
    return HeadSpec(
        modality=modality,
        task="embedding",
        family=TaskFamily.EMBEDDING,
        inputs=preprocessor.inputs,
        outputs=(TensorSpec(name="embedding", dtype="float32", shape=(32,)),),
        preprocess=preprocess,
        limits=preprocessor.limits,
        network="tiny",
    )


def picture_folder(folder: Path, count: int = 12) -> Path:
    """Dark and light pictures, a sub-folder of each."""
    rng = np.random.default_rng(0)
    for name, level in (("dark", 30), ("light", 200)):
        (folder / name).mkdir(parents=True)
        for number in range(count):
            pixels = rng.integers(0, 40, (40, 48, 3)) + level
            Image.fromarray(pixels.astype(np.uint8)).save(folder / name / f"{number:02}.png")
    return folder


def text_table(path: Path, count: int = 20) -> Path:
    """Sentences about cats and about money, as CSV with quotes and commas."""
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["sentence", "topic"])
        for number in range(count):
            rows.writerow([f'A cat said "meow", {number} times.', "cats"])
            rows.writerow([f"The bank lends {number} million, at interest.", "money"])
    return path


def number_table(path: Path, count: int = 80, seed: int = 0) -> Path:
    """Rows of two numbers, one of which tells small from large, and a colour, which does not."""
    rng = np.random.default_rng(seed)
    lines = ["width,height,colour,kind"]
    for number in range(count):
        width = rng.normal(1.0 + 4.0 * (number % 2), 0.4)
        kind, colour = ("small", "large")[number % 2], ("red", "blue")[number % 3 > 0]
        lines.append(f"{width:.3f},{rng.normal(2.0, 0.5):.3f},{colour},{kind}")
    path.write_text("\n".join(lines) + "\n")
    return path


def tag_table(path: Path, count: int = 60, seed: int = 0) -> Path:
    """Sentences with any number of two tags, which a column names with semicolons."""
    rng = np.random.default_rng(seed)
    lines = ["sentence,tags"]
    for number in range(count):
        applies = {"cats": rng.random() < 0.5, "money": rng.random() < 0.4}
        words = ["The cat said meow."] * applies["cats"] + ["A bank lends."] * applies["money"]
        tags = ";".join(name for name, yes in applies.items() if yes)
        lines.append(f"{' '.join([*words, f'Number {number}.'])},{tags}")
    path.write_text("\n".join(lines) + "\n")
    return path


def load_table(path: Path, steps: int = 400, seed: int = 0) -> Path:
    """Two series by the hour with a rise and fall of 12 hours, as a wide table."""
    rng = np.random.default_rng(seed)
    times = np.datetime64("2024-01-01T00:00") + np.arange(steps) * np.timedelta64(1, "h")
    day = np.sin(np.arange(steps) * 2 * np.pi / 12)
    load, oil = 100 + 20 * day, 5 - day + 0.001 * np.arange(steps)
    rows = zip(times, load + rng.normal(0, 1, steps), oil + rng.normal(0, 0.05, steps), strict=True)
    path.write_text("date,load,oil\n" + "".join(f"{t},{a:.3f},{b:.4f}\n" for t, a, b in rows))
    return path


def long_waves(path: Path, count: int = 24, seed: int = 0) -> Path:
    """Slow and quick series of different lengths, a row per step."""
    rng = np.random.default_rng(seed)
    lines = ["machine,step,value,pace"]
    for number in range(count):
        speed, pace = ((0.25, "slow"), (1.2, "quick"))[number % 2]
        phase = rng.uniform(0, 2 * np.pi)
        values = np.sin(phase + speed * np.arange(30 + number % 5)) + rng.normal(0, 0.1)
        lines += [f"m{number},{step},{v:.3f},{pace}" for step, v in enumerate(values)]
    path.write_text("\n".join(lines) + "\n")
    return path


def waves(count: int, length: int, channels: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Slow and quick waves with noise: float32 (count, length, channels), classes."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 2
    phase = rng.uniform(0, 2 * np.pi, (count, 1, channels))
    steps = np.arange(length)[None, :, None] * np.where(labels, 1.6, 0.2)[:, None, None]
    return (np.sin(phase + steps) + rng.normal(0, 0.1, (count, length, channels))).astype(
        np.float32
    ), labels


def recordings(path: Path, count: int = 48) -> Path:
    """Waves of six channels and different lengths, laid end to end, with a person each."""
    signal, labels = waves(count, 40, 6)
    lengths = 20 + np.arange(count) % 20
    pieces = [one[:length] for one, length in zip(signal, lengths, strict=True)]
    np.savez(
        path,
        signal=np.concatenate(pieces),
        length=lengths,
        action=labels,
        person=np.arange(count) % 3,
    )
    return path


def scene(path: Path) -> Path:
    """A MATLAB scene of 25 bands whose right half grows something else; a rim is unlabelled."""
    from scipy.io import savemat

    rng = np.random.default_rng(0)
    labels = np.full((10, 12), 2, dtype=np.uint8)
    labels[:, 6:] = 5
    spectra = np.stack([np.linspace(100, 900, 25), np.linspace(900, 100, 25)])
    cube = spectra[(labels == 5).astype(int)] + rng.normal(0, 30, (10, 12, 25))
    labels[0] = 0
    savemat(path, {"cube": cube.astype(np.uint16), "gt": labels})
    return path


def idx_pictures(folder: Path, count: int = 20) -> None:
    """Grey pictures and their labels in IDX files, gzipped, like MNIST's."""
    labels = (np.arange(count) % 2).astype(np.uint8)
    pixels = np.repeat(np.where(labels, 220, 20).astype(np.uint8), 28 * 28)
    head = struct.pack(">HBB3I", 0, 8, 3, count, 28, 28)
    (folder / "images-ubyte.gz").write_bytes(gzip.compress(head + pixels.tobytes()))
    head = struct.pack(">HBBI", 0, 8, 1, count)
    (folder / "labels-ubyte.gz").write_bytes(gzip.compress(head + labels.tobytes()))


def molecules(path: Path) -> Path:
    """Chains of carbon and their number of atoms, times ten."""
    rows = [("C" * n, 10.0 * n) for n in range(1, 13)] * 2
    path.write_text("smiles,size\n" + "".join(f"{s},{v}\n" for s, v in rows))
    return path
