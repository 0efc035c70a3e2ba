"""Readers of file formats, in groups by the kind of data; modalities choose among them."""
