"""Masked pretraining: tokens are hidden, the encoder is given the rest, a decoder restores them.

A modality's module in ``omnivec2.training.modalities`` has the way that its tokens are restored;
the modules here have what modalities share. No labels are used.
"""
