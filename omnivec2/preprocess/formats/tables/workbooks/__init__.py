"""Excel workbooks: their parts within limits, and one sheet of them as a frame."""
