"""Putting heads into running servers and taking them out again."""
