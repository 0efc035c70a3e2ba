"""BentoML with ONNX Runtime: a worker per core and adaptive batching.

Run with ``bentoml serve bentoml_onnxruntime:Classifier``. A batchable API takes a list, to which
each request adds one picture.
"""

from pathlib import Path

import bentoml
from peer_model import CORES, Answer, OnnxModel, read_pixels


@bentoml.service(workers=CORES, traffic={"timeout": 60})
class Classifier:
    """Decodes and classifies in the worker."""

    def __init__(self) -> None:
        self.model = OnnxModel()

    @bentoml.api(batchable=True, max_batch_size=16, max_latency_ms=1000)
    def predict(self, pictures: list[Path]) -> list[Answer]:
        """Classify the pictures of a batch."""
        return self.model.classify([read_pixels(picture.read_bytes()) for picture in pictures])
