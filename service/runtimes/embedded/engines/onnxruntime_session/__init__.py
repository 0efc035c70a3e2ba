"""Sessions of ONNX Runtime, which run on the CPU or on a GPU."""
