"""Answers in Python: what all have in common, and a class for each task family."""
