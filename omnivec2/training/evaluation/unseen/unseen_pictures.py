"""Pictures of classes that the network was not trained on: digits, clothes and things."""

from __future__ import annotations

import gzip
import io
import tarfile
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

from omnivec2.errors import ArtifactError
from omnivec2.preprocess import Array
from omnivec2.training.data.base import DataDirectories
from omnivec2.training.evaluation.unseen.unseen_set import UnseenSet, classes

FASHION_FOLDERS = (Path("image_fashion_mnist"), Path("/usr/share/datasets/fashion-mnist"))
"""Where the four files of Fashion-MNIST are looked for: in the data directory, and where Debian's
package ``dataset-fashion-mnist`` puts them."""

_KNOWN_DIGITS = 1200
_CLOTHES = 2000
_IDX_HEADERS = {1: 8, 3: 16}
"""The bytes before the numbers in IDX files, by their dimensions."""


def digits(_: DataDirectories) -> UnseenSet:
    """Return scikit-learn's digits, 8x8 pixels in gray."""
    loaded = load_digits()
    order = np.random.default_rng(0).permutation(len(loaded.target))
    known = np.arange(len(order)) < _KNOWN_DIGITS
    gray = (loaded.images[order] / 16 * 255).astype(np.uint8)
    return classes(
        "scikit-learn's digits", [_coloured(one) for one in gray], loaded.target[order], known
    )


def clothes(at: DataDirectories) -> UnseenSet:
    """Return 2,000 known pictures and 2,000 queries of Fashion-MNIST, 28x28 pixels in gray.

    Raises:
        ArtifactError: Its files are not there.
    """
    folder = next((at.root / f for f in FASHION_FOLDERS if (at.root / f).is_dir()), None)
    if folder is None:
        raise ArtifactError(
            "no Fashion-MNIST: install Debian's package dataset-fashion-mnist, or put its files "
            f"into {at.root / FASHION_FOLDERS[0]}"
        )
    parts = []
    for part in ("train", "t10k"):
        labels = _idx(folder / f"{part}-labels-idx1-ubyte.gz")
        pixels = _idx(folder / f"{part}-images-idx3-ubyte.gz")
        chosen = np.sort(np.random.default_rng(0).permutation(len(labels))[:_CLOTHES])
        parts.append((pixels[chosen], labels[chosen]))
    pixels, labels = (np.concatenate(values) for values in zip(*parts, strict=True))
    known = np.arange(len(labels)) < len(parts[0][1])
    return classes("Fashion-MNIST", [_coloured(one) for one in pixels], labels, known)


def things(at: DataDirectories) -> UnseenSet:
    """Return 50 classes of Tiny-ImageNet: the training part is known, the test part is asked."""
    inputs: list[Array] = []
    names: list[str] = []
    known: list[bool] = []
    with tarfile.open(at.find("image_tinyimagenet50/tinyimagenet50.tar.xz"), "r:xz") as tar:
        for member in tar:
            if not member.name.lower().endswith((".jpeg", ".jpg")):
                continue
            part, name = member.name.split("/")[-3:-1]
            file = tar.extractfile(member) if part in ("train", "test") else None
            if file is None:
                continue
            with Image.open(io.BytesIO(file.read())) as picture:
                inputs.append(np.asarray(picture.convert("RGB")))
            names.append(name)
            known.append(part == "train")
    labels = np.unique(names, return_inverse=True)[1]
    return classes("Tiny-ImageNet, 50 classes", inputs, labels, np.array(known))


def _coloured(gray: Array) -> Array:
    return np.repeat(gray[..., None], 3, axis=-1)


def _idx(path: Path) -> Array:
    """Return the bytes of a gzipped IDX file, shaped as its header says."""
    data = gzip.decompress(path.read_bytes())
    dimensions = data[3]
    shape = np.frombuffer(data, ">u4", dimensions, 4)
    return np.frombuffer(data, np.uint8, offset=_IDX_HEADERS[dimensions]).reshape(shape)
