"""From data to structure: tokenizers, heads, decoders and their constants."""
