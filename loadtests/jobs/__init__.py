"""Measurements of jobs: what they survive, and how much memory long recordings take."""
