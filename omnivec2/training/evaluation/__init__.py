"""How good a trained network is: figures, simple models to compare with, reports."""
