"""Inputs that a head cannot know, and what follows for its scores."""
