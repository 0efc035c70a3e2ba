"""What the benchmarks share: a gateway to measure, clients that load it, reports."""
