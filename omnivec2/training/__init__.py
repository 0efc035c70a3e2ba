"""Training: recipes and stages, and what measures, adapts and aligns the trained network."""
