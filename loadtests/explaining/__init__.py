"""Inputs whose explanations are measured: they can be masked where an explanation says."""
