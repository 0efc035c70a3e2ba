"""HEIC pictures, as phones take them."""
