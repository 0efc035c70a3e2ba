"""Checks of the stack of docker-compose.yml on this machine."""
