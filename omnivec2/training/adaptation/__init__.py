"""Adaptation to a user's own data: two fully connected layers on the frozen network.

::

    files, tables, arrays ─ reading ─► rows ─ parts ─► train, test ─ samples ─► arrays
    arrays ─ frozen network ─► summaries ─ fitting ─► two layers ─ writing ─► checkpoint
"""
