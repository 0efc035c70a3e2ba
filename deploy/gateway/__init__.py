"""The image of the gateway."""
