"""Servers to measure: a gateway, Triton; clients and reports."""
