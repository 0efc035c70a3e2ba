"""Commands that train, adapt and measure networks."""
