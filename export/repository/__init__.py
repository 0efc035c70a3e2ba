"""Triton model repositories, assembled from an exported checkpoint."""
