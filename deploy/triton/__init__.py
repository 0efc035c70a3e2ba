"""The Triton server for development and tests."""
