"""What the peers have in common: decoding with Pillow, a session of ONNX Runtime, the answer.

The environment says what to serve: ``PEER_GRAPH`` (a whole graph), ``PEER_LABELS`` (JSON),
``PEER_PORT``, on 127.0.0.1, and ``PEER_CORES``.
"""

from __future__ import annotations

import io
import json
import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageOps

GRAPH = os.environ.get("PEER_GRAPH", "")
LABELS: list[str] = json.loads(os.environ.get("PEER_LABELS", "[]"))
PORT = int(os.environ.get("PEER_PORT", "0"))
CORES = int(os.environ.get("PEER_CORES", "1"))
SIDE = 96

Array = np.ndarray[Any, Any]
Answer = list[dict[str, Any]]


def read_pixels(picture: bytes) -> Array:
    """Decode a JPEG at a sufficient scale, and crop and resize it to uint8 (SIDE, SIDE, 3)."""
    image = Image.open(io.BytesIO(picture))
    image.draft("RGB", (SIDE, SIDE))
    return np.asarray(ImageOps.fit(image.convert("RGB"), (SIDE, SIDE), Image.Resampling.BICUBIC))


def rank(logits: Array) -> Answer:
    """Return labels and scores of one row of logits, the best first."""
    weights = np.exp(logits - logits.max())
    scores = weights / weights.sum()
    return [
        {"label": LABELS[index], "score": float(scores[index])} for index in np.argsort(-scores)
    ]


class OnnxModel:
    """A session of ONNX Runtime on one core: the servers run one per core."""

    def __init__(self) -> None:
        import onnxruntime as ort

        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        self._session = ort.InferenceSession(GRAPH, options, providers=["CPUExecutionProvider"])

    def classify(self, pixels: Sequence[Array]) -> list[Answer]:
        """Classify a batch of pictures of uint8 (SIDE, SIDE, 3)."""
        (logits,) = self._session.run(["logits"], {"pixels": np.stack(pixels)})
        return [rank(row) for row in logits]
