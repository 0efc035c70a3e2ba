"""The cost of a network: its weights, and the operations of a sample of every head."""
