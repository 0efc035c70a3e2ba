"""Readers of file formats, grouped by the kind of data; the modalities use them."""
