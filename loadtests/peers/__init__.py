"""The same head behind other servers, measured in the same run as this service."""
