"""Embeddings that keep what a pretrained network knew: heads fitted to a teacher's vectors.

::

    unlabelled inputs ─┬─ frozen network ─► summaries ─┐
                       └─ teacher ────────► vectors ───┴─ ridge regression ─► head ─► checkpoint

No other head changes: the trunk and the tokenizers stay as they are.
"""
