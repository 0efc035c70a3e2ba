"""Heads of two layers that are fitted to the frozen network, as many as a recipe names.

::

    labelled data ─► frozen network ─► summaries ─► two layers, chosen on val ─► the checkpoint

No other head changes: the trunk, the tokenizers and the other heads stay as they are stored.
"""
