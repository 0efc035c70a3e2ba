"""Protections against hostile files: size checks, decoding errors, strict JSON."""
