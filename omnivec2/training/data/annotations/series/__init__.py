"""Readers of labelled and of wide and long series."""
