"""Alignment: one embedding space for several modalities, in which equal meanings lie close.

::

    depth clip -----> tokenizer -> f -> g -> two layers --+
    IMU recording --> tokenizer -> f -> g -> two layers --+--> 128 numbers of length 1
    name ----------> tokenizer -> f -> g -> two layers --+

The network is frozen, as in adaptation; only the two layers of each head are fitted.
"""
