"""The OpenAPI document of the heads that are loaded."""
