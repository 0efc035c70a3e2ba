"""ONNX Runtime on NVIDIA GPUs: devices, execution providers, their options, and bound runs."""
