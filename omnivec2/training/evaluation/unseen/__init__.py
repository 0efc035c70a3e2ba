"""Embeddings measured on data that nothing of the network was trained on.

An embedding that is measured on the data of its network's tasks looks good whatever it has
forgotten. These sets have other sentences, pictures and sounds, and no label of them was used in
training; the figures stand beside those of the network that the embedding learned from.
"""
