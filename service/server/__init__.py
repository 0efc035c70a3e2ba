"""The process: uvicorn with limits on request heads, an orderly stop, thread priorities."""
