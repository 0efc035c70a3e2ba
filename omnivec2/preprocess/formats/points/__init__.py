"""Point cloud files: PLY, PCD, LAS and LAZ, XYZ, NPY."""
