"""The pipeline without a server, for programs."""
