"""Training: recipes and stages, and the evaluation, adaptation and alignment of a network."""
