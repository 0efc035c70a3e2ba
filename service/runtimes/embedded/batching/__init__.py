"""Batches of the rows that wait: when they close, what they cost, how they run."""
