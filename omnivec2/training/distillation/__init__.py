"""Embeddings that keep what a pretrained network knew: heads fitted to a teacher's vectors.

::

    unlabelled inputs ─┬─ frozen network ─► summaries ─┐
                       └─ teacher ────────► vectors ───┴─ ridge regression ─► head ─► checkpoint

A picture's tokenizer first gets a branch of its stem, if it has none, that is trained on the same
vectors (``deep_blocks.py``). No other head changes: all weights that were there stay as they are.
"""
