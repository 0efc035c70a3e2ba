"""Explanations of answers, made by answering masked copies of an input."""
