"""The command line: one module per command in ``commands``; it may import every other package."""
