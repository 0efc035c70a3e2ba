"""The traffic of a load test: which requests, how often, and what their answers must be."""
