"""Simple models of the forms of targets that no family has by default."""
