"""The heads that are served, and the versions of them that answer a request."""
