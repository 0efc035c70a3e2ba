"""The command `omnivec2`: one module per command; the only package that sees all others."""
