"""Ablations: the benefit of a shared trunk, of own tokenizers and of own heads.

Variants are built only for this measurement and never served, so the network package does not
contain them.
"""
