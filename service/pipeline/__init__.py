"""What a request means without HTTP: decode, prepare, infer, post-process."""
