"""The commands of `omnivec2`, one module each."""
