"""The Open Inference Protocol (KServe v2, as Triton speaks it), for callers that send tensors."""
