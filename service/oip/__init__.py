"""The Open Inference Protocol (KServe v2, as Triton speaks it), for callers who bring tensors."""
