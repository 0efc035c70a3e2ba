"""Sharing checkpoints: in directories, in S3 and on the Hugging Face Hub."""
