"""Formats of sciences: spectral cubes, NumPy arrays, molecules, edge lists."""
