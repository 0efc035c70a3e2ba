"""The network behind Triton servers, over gRPC."""
