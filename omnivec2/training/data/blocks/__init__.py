"""Data that a recipe describes: a block per task, found by its ``kind``.

::

    block ─ read ─► examples (input, raw target, origin) ─ parse ─► targets
                        │                                            │
                     split ─► train, val, test ─ statistics, vocabularies of train alone
                        │                                            │
                 pre-processor that serves ─► samples, cached ─► TaskData

To add a kind of data, write a :class:`~omnivec2.training.data.blocks.kinds.base.Block` with
``read`` and list it in :data:`~omnivec2.training.data.blocks.kinds.AnyBlock`. To add a kind of
target, write a :class:`~omnivec2.training.data.blocks.targets.base.TargetKind` with ``parse`` and
``fit`` and list it in :data:`~omnivec2.training.data.blocks.targets.AnyTarget`. Rules of division
are in :mod:`~omnivec2.training.data.blocks.splits`, parameters that follow from data in
:mod:`~omnivec2.training.data.blocks.statistics`.
"""
