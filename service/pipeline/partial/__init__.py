"""Parts of an answer that are given while the rest is computed."""
