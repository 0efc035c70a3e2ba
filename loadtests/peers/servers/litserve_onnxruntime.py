"""LitServe with ONNX Runtime: a worker per core and batching, as its documentation advises."""

from typing import Annotated, Any

import litserve as ls
from fastapi import File
from peer_model import CORES, PORT, Answer, Array, OnnxModel, read_pixels


class Classifier(ls.LitAPI):
    """Decodes and classifies in the worker."""

    def setup(self, device: str) -> None:
        """Load the model, once per worker."""
        self.model = OnnxModel()

    def decode_request(self, request: Annotated[bytes, File()]) -> Array:
        """Decode the picture of one request."""
        return read_pixels(request)

    def predict(self, x: Any) -> list[Answer]:
        """Classify the pictures of a batch."""
        return self.model.classify(x)

    def encode_response(self, output: Answer) -> Answer:
        """Answer one request."""
        return output


if __name__ == "__main__":
    # fast_queue is for more than a hundred requests per second, says its docstring.
    api = Classifier(max_batch_size=8, batch_timeout=0.005)
    server = ls.LitServer(api, accelerator="cpu", workers_per_device=CORES, fast_queue=True)
    server.run(host="127.0.0.1", port=PORT, generate_client_file=False, log_level="warning")
