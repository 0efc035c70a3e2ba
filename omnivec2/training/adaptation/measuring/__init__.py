"""Measuring a head that was written, beside simple models of the same labels."""
