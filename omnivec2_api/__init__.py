"""The Python API: a network in this process, clients of a running service, and batches.

``omnivec2`` shows its names: ``omnivec2.load``, ``omnivec2.Client``, ``omnivec2.AsyncClient``.
"""
