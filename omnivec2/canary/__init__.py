"""New versions of heads beside those that are served: what commands and gateways know of them."""
