"""True labels that callers send later, compared with the answers they got."""
