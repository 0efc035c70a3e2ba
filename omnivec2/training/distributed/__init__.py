"""Devices and processes that compute a step together."""
