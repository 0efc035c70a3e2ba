"""ONNX graphs: traced from the network, made small, their weights left in one file."""
