"""Pages of TIFF files: their checks, the meaning of their samples, and pictures from them."""
