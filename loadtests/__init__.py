"""Load, overload and fuzz tests of a running service, and benchmarks of this machine."""
