"""A head for somebody's own data: the network frozen, two fully connected layers on it.

::

    files, tables, arrays ─ reading ─► rows ─ parts ─► train, test ─ samples ─► arrays
    arrays ─ frozen network ─► summaries ─ fitting ─► two layers ─ writing ─► checkpoint
"""
