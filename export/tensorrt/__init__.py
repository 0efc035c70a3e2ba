"""TensorRT plans: built from graphs, for the GPU of this machine."""
