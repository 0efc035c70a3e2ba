"""Fitting two layers on what the frozen network makes of the rows."""
