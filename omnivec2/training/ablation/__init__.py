"""What the parts of the network are worth: one shared trunk, own tokenizers, own heads.

Variants are made for measuring and are never served, so the network itself knows nothing of
them.
"""
