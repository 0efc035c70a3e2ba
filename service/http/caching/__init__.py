"""Answers from the cache over HTTP: who may have one, and how a caller sees that it was."""
