"""Figures with intervals: a figure is computed again over samples drawn with replacement."""
