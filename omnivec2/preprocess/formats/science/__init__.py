"""Formats of sciences: DICOM, spectral cubes, NumPy arrays, molecules, edge lists."""
