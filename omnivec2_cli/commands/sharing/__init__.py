"""Commands about checkpoints that are shared."""
