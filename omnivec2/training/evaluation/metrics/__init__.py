"""Metrics of one kind of answers each, most of them computed by a library."""
