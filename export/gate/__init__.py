"""The gate files of heads: real inputs, and the answers of the network to them."""
