"""Evaluation of a trained network: metrics, simple models to compare with, reports."""
