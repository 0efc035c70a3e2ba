"""Addresses of listeners as they are written in URLs."""

from __future__ import annotations


def url_host(host: str) -> str:
    """Return a host as URLs have it: an IPv6 address is in brackets."""
    return f"[{host}]" if ":" in host else host
