"""Benchmarks: each starts what it measures and writes a report under loadtests/reports."""
