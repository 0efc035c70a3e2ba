"""Sound recordings: their readers, arrays of samples, levels and channels."""
