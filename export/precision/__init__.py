"""Graphs that compute in half precision, and what that does to answers."""
