"""Spectral cubes: files, what they say of their bands and pixels, and pixels without data."""
