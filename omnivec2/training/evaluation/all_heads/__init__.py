"""The measurement of every head of a checkpoint, in a form that a model card can be made of."""
