"""Readers of the annotation files that labelling tools write; nothing here prepares inputs."""
