"""The gate that every exported graph passes: it answers as the network does."""
