"""The meaning of a request, without HTTP: decode, prepare, infer, post-process."""
