"""Pure ASGI middleware: nothing here reads or buffers a body."""
