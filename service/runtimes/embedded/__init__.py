"""The network in the gateway's own process."""
