"""Inputs that show nothing a head could know, and what the service answers to them."""
