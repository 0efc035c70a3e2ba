"""The forms of a request's body: files, JSON, forms."""
