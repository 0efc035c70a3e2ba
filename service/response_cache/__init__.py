"""Answers that are kept for requests that repeat."""
