"""Samples that are cut from something larger: windows of series, squares of scenes."""
