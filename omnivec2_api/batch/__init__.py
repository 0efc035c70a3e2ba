"""Many inputs, one table: what ``omnivec2 batch`` does.

::

    source ─ items ─► Predictor.run_tasks ─ answers ─► columns ─ rows ─► parts ─ join ─► table
    folder, table,    several at a time,               typed by         of 256 inputs,
    list              in order                         family           kept if killed
"""
