"""Measures what heads' training data look like to the trunk, through the exported parts."""
