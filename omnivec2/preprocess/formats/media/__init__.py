"""Recordings: video containers and frames, filter banks, windows."""
